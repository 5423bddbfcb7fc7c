//! Search paths completed by the server ("autopath"): a Pod's resolver asks for
//! `www.example.com.<namespace>.svc.<zone>` first, and for four more names before
//! the one that is meant. Whose namespace is known gets that answer to its first
//! question. Pure.

use hickory_proto::rr::Name;

use super::authority::{Authority, under};

/// What a client in `namespace` asks after the name it asks now, in order; none
/// if that is not the first name of a search path.
pub(crate) fn path(authority: &Authority, namespace: &str, name: &Name, box_search: &[Name]) -> Option<Vec<Name>> {
    let first = under([namespace], &authority.services)?;
    let lower = name.to_lowercase();
    let typed = usize::from(lower.num_labels()).checked_sub(usize::from(first.num_labels()))?;
    if typed == 0 || !first.zone_of(&lower) {
        return None;
    }
    let labels: Vec<&[u8]> = lower.iter().take(typed).collect();
    let root = Name::root();
    let suffixes = [&authority.services, &authority.zone].into_iter().chain(box_search).chain([&root]);
    let names = suffixes.filter_map(|suffix| {
        let mut whole = Name::new();
        for label in &labels {
            whole = whole.append_label(*label).ok()?;
        }
        whole.append_name(suffix).ok()
    });
    Some(names.collect())
}

/// The whole name of a Service that is called `<service>.<namespace>`, or
/// `<service>.<namespace>.svc`.
pub(crate) fn whole(authority: &Authority, name: &Name) -> Option<Name> {
    let lower = name.to_lowercase();
    let labels: Vec<&[u8]> = lower.iter().collect();
    match labels.as_slice() {
        [service, namespace] | [service, namespace, b"svc"] => {
            Name::from_labels([*service, *namespace]).ok()?.append_domain(&authority.services).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::PodMode;

    #[test]
    fn short_names_are_completed() {
        let authority = Authority::new("cluster.local", 30, PodMode::Verified, vec![]).unwrap();
        for (name, expected) in [
            ("Web.shop.", Some("web.shop.svc.cluster.local.")),
            ("web.shop.svc.", Some("web.shop.svc.cluster.local.")),
            ("web.", None),
            (".", None),
            ("www.example.com.", None),
        ] {
            let found = whole(&authority, &Name::from_ascii(name).unwrap()).map(|name| name.to_string());
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_rest_of_a_search_path_is_what_the_resolver_would_ask() {
        let authority = Authority::new("cluster.local", 30, PodMode::Verified, vec![]).unwrap();
        let search = [Name::from_ascii("lan.").unwrap()];
        let path = |name: &str| -> Option<Vec<String>> {
            let names = path(&authority, "shop", &Name::from_ascii(name).unwrap(), &search)?;
            Some(names.iter().map(Name::to_string).collect())
        };
        let expected = [
            "www.example.com.svc.cluster.local.",
            "www.example.com.cluster.local.",
            "www.example.com.lan.",
            "www.example.com.",
        ];
        assert_eq!(path("WWW.example.com.shop.svc.cluster.local.").unwrap(), expected);
        for other in
            ["shop.svc.cluster.local.", "www.other.svc.cluster.local.", "www.example.com.", "www.svc.cluster.local."]
        {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
