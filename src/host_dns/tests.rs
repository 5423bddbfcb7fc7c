#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::act::{Obstacle, mount_of};
use super::facts::{ConfFile, Facts, LinkNames, Paths, Record, Resolvconf};
use super::plan::{Asked, Plan, Step, Way, plan_setup, plan_undo, ways_set_up};
use super::resolv_conf::{Manner, Owner, owner, written};
use super::{block, link, perform, report, wish::Wish};
use crate::dns::kept_path;

fn wish() -> Wish {
    Wish {
        servers: vec!["10.43.0.10".parse().unwrap(), "fd43::a".parse().unwrap()],
        domain: "cluster.local".to_owned(),
        namespace: "default".to_owned(),
        reverse: vec!["43.10.in-addr.arpa".to_owned()],
    }
}

fn answering() -> Asked {
    Asked { answers: true, ..Asked::default() }
}

fn file(text: &str) -> Option<ConfFile> {
    Some(ConfFile { link: None, text: text.to_owned() })
}

fn linked(to: &str, text: &str) -> Option<ConfFile> {
    Some(ConfFile { link: Some(to.into()), text: text.to_owned() })
}

fn paths(root: &Path) -> Paths {
    Paths { root: root.to_owned(), data_dir: root.join("data") }
}

/// The lines that count.
fn lines(former: Option<&str>, alone: bool) -> Vec<String> {
    let text = written(former, &wish(), Manner { way: "file", alone });
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

const OURS: &str = "default.svc.cluster.local svc.cluster.local cluster.local";

#[test]
fn what_stands_in_the_way_is_told_by_the_error_and_by_who_asks() {
    use nix::errno::Errno;
    let of = |errno: Errno, is_root| Obstacle::of(&std::io::Error::from(errno), is_root);
    for (errno, to_root, to_others) in [
        (Errno::EPERM, Obstacle::Immutable, Obstacle::Privilege),
        (Errno::EACCES, Obstacle::Privilege, Obstacle::Privilege),
        (Errno::EROFS, Obstacle::ReadOnly, Obstacle::ReadOnly),
        (Errno::ENOSPC, Obstacle::Other, Obstacle::Other),
    ] {
        assert_eq!((of(errno, true), of(errno, false)), (to_root, to_others), "{errno}");
    }
    let mounts = "21 1 8:1 / / ro - ext4 /dev/sda1 ro\n30 21 0:5 / /etc rw - tmpfs etc rw\n\
                  31 30 0:6 /f /etc/resolv.conf ro - tmpfs f rw\n32 21 0:7 / /etc2 rw - tmpfs x rw\n";
    for (path, mount) in [("/etc/resolv.conf", "/etc/resolv.conf"), ("/etc/resolv.conf2", "/etc"), ("/var/x", "/")] {
        assert_eq!(mount_of(mounts, Path::new(path)), mount, "{path}");
    }
}

#[test]
fn resolv_conf_names_edgesvc_first_and_the_former_servers_behind() {
    let search = format!("search {OURS}");
    for (former, alone, expected) in [
        (None, false, vec![search.clone(), "nameserver 10.43.0.10".to_owned()]),
        (
            Some("# by dhcp\ndomain lan\nnameserver 192.0.2.1\noptions ndots:2 edns0\n"),
            false,
            vec![
                format!("{search} lan"),
                "nameserver 10.43.0.10".to_owned(),
                "nameserver 192.0.2.1".to_owned(),
                "options ndots:2 edns0".to_owned(),
            ],
        ),
        (
            // The C library reads three; none of ours twice; the last list counts.
            Some(
                "search a b\nsearch cluster.local c\nnameserver 10.43.0.10\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 192.0.2.3",
            ),
            false,
            vec![
                format!("{search} c"),
                "nameserver 10.43.0.10".to_owned(),
                "nameserver fe80::1%eth0".to_owned(),
                "nameserver 2001:db8::1".to_owned(),
            ],
        ),
        (Some("nameserver 192.0.2.1\n"), true, vec![search.clone(), "nameserver 10.43.0.10".to_owned()]),
        (
            Some("nameserver 192.0.2.1\noptions rotate\n"),
            false,
            vec![search, "nameserver 10.43.0.10".to_owned(), "options rotate".to_owned()],
        ),
    ] {
        assert_eq!(lines(former, alone), expected, "{former:?}");
    }
}

#[test]
fn a_file_of_ours_is_known_and_so_is_a_change_of_it() {
    let text = written(None, &wish(), Manner { way: "file", alone: true });
    let Owner::Ours(mark) = owner(&text) else { panic!("{text}") };
    assert_eq!((mark.way.as_str(), mark.namespace.as_str(), mark.absent, mark.alone), ("file", "default", true, true));
    assert!(matches!(owner(&format!("{text}options debug\n")), Owner::Edited(_)));
    assert_eq!(owner("nameserver 192.0.2.1\n"), Owner::Other);
}

#[test]
fn the_way_is_that_of_whoever_keeps_resolv_conf() {
    let resolved = Facts { resolved: true, resolvectl: true, ..Facts::default() };
    let stub = linked("../run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
    let uplinks = linked("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n");
    let nss = Some("files resolve [!UNAVAIL=return] dns".to_owned());
    let manager = Facts { network_manager_conf: true, nmcli: true, ..Facts::default() };
    let records = Facts { resolvconf: Some(Resolvconf::Openresolv), ..Facts::default() };
    for (facts, expected) in [
        (Facts { resolv_conf: stub.clone(), ..resolved.clone() }, Way::SystemdResolved),
        // Programs would not ask it.
        (Facts { resolv_conf: uplinks.clone(), ..resolved.clone() }, Way::File),
        (Facts { resolv_conf: uplinks, nsswitch: nss, ..resolved }, Way::SystemdResolved),
        (Facts { resolv_conf: stub, ..Facts::default() }, Way::File),
        (
            Facts { resolv_conf: file("# Generated by NetworkManager\nnameserver 192.0.2.1\n"), ..manager.clone() },
            Way::NetworkManager,
        ),
        (Facts { resolv_conf: linked("/run/NetworkManager/resolv.conf", ""), ..manager }, Way::NetworkManager),
        (Facts { resolv_conf: file("# Generated by resolvconf\n"), ..records.clone() }, Way::Resolvconf),
        (Facts { resolv_conf: linked("/run/resolvconf/resolv.conf", ""), ..records }, Way::Resolvconf),
        (Facts { resolv_conf: file("# Generated by resolvconf\n"), ..Facts::default() }, Way::File),
        (Facts { resolv_conf: file("nameserver 192.0.2.1\n"), ..Facts::default() }, Way::File),
        (Facts::default(), Way::File),
    ] {
        let plan = plan_setup(&facts, &paths(Path::new("/")), &wish(), &answering()).unwrap();
        assert_eq!(plan.way, expected, "{facts:?}");
    }
}

/// What a refusal says.
fn refusal(facts: &Facts, asked: &Asked) -> String {
    plan_setup(facts, &paths(Path::new("/")), &wish(), asked).unwrap_err().0
}

#[test]
fn what_would_harm_is_refused() {
    let ours = written(Some("nameserver 192.0.2.1\n"), &wish(), Manner { way: "file", alone: false });
    let changed = Facts { resolv_conf: file(&format!("{ours}#\n")), kept: file("x"), ..Facts::default() };
    assert!(refusal(&changed, &answering()).contains("--force"));
    assert!(plan_undo(&changed, &paths(Path::new("/")), false).unwrap_err().0.contains("--force"));
    let anew = Facts { resolv_conf: file("nameserver 192.0.2.9\n"), kept: file("x"), ..Facts::default() };
    assert!(plan_undo(&anew, &paths(Path::new("/")), false).unwrap_err().0.contains("--force"));
    let lost = Facts { resolv_conf: file(&ours), ..Facts::default() };
    assert!(refusal(&lost, &answering()).contains("no longer"));
    let musl = Facts { musl: true, ..Facts::default() };
    assert!(refusal(&musl, &Asked::default()).contains("no names"));
    let known = Facts { record: Record::Namespace("default".to_owned()), ..Facts::default() };
    let other = Asked { with: Some(Way::File), ..answering() };
    assert!(refusal(&known, &other).contains("undo"));
    for way in [Way::SystemdResolved, Way::NetworkManager, Way::Resolvconf] {
        assert!(!refusal(&Facts::default(), &Asked { with: Some(way), ..answering() }).is_empty(), "{way}");
    }
}

#[test]
fn systemd_resolved_is_told_of_the_link_once() {
    let facts = Facts {
        resolv_conf: file("nameserver 127.0.0.53\n"),
        resolved: true,
        resolvectl: true,
        link: true,
        ..Facts::default()
    };
    let plan = plan_setup(&facts, &paths(Path::new("/")), &wish(), &answering()).unwrap();
    let calls: Vec<String> = plan.steps.iter().skip(1).map(Step::to_string).collect();
    assert_eq!(
        calls,
        [
            "call resolvectl dns edgesvc0 10.43.0.10 fd43::a".to_owned(),
            format!("call resolvectl domain edgesvc0 {OURS} ~43.10.in-addr.arpa"),
            "call resolvectl default-route edgesvc0 no".to_owned(),
            "call resolvectl dnssec edgesvc0 no".to_owned(),
            "call resolvectl dnsovertls edgesvc0 no".to_owned(),
        ]
    );
    let domains = format!("~43.10.in-addr.arpa {OURS}").split(' ').map(str::to_owned).collect();
    let servers = vec!["10.43.0.10".to_owned(), "fd43::a".to_owned()];
    let told = Facts {
        record: Record::Namespace("default".to_owned()),
        link_names: Some(LinkNames { servers, domains }),
        ..facts
    };
    assert_eq!(plan_setup(&told, &paths(Path::new("/")), &wish(), &answering()).unwrap().steps, []);
    assert_eq!(report::faults(&told, &paths(Path::new("/")), &wish()), [""; 0]);
    let forgotten = Facts { link_names: Some(LinkNames::default()), ..told };
    assert_eq!(report::faults(&forgotten, &paths(Path::new("/")), &wish()).len(), 1);
    assert_eq!(link::calls(&wish()).len(), 5);
}

/// Looks at a box of files below `root`, where no programs are.
fn found(paths: &Paths) -> Facts {
    let read = |path: PathBuf| {
        fs::symlink_metadata(&path).ok().map(|metadata| ConfFile {
            link: metadata.is_symlink().then(|| fs::read_link(&path).unwrap()),
            text: fs::read_to_string(&path).unwrap_or_default(),
        })
    };
    Facts { resolv_conf: read(paths.resolv_conf()), kept: read(kept_path(&paths.resolv_conf())), ..Facts::default() }
}

fn do_all(plans: &[Plan]) {
    plans.iter().for_each(|plan| perform(plan).unwrap());
}

fn setup(paths: &Paths, wish: &Wish) -> Plan {
    let plan = plan_setup(&found(paths), paths, wish, &answering()).unwrap();
    perform(&plan).unwrap();
    plan
}

fn undo(paths: &Paths) {
    do_all(&plan_undo(&found(paths), paths, false).unwrap());
}

#[test]
fn links_and_missing_files_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    let (conf, live) = (paths.resolv_conf(), dir.path().join("live"));
    fs::create_dir(dir.path().join("etc")).unwrap();
    setup(&paths, &wish());
    assert!(!kept_path(&conf).exists());
    undo(&paths);
    assert!(!conf.exists());
    fs::write(&live, "nameserver 192.0.2.1\n").unwrap();
    std::os::unix::fs::symlink("../live", &conf).unwrap();
    setup(&paths, &wish());
    assert!(fs::symlink_metadata(&conf).unwrap().is_file());
    assert_eq!(fs::read_to_string(kept_path(&conf)).unwrap(), "nameserver 192.0.2.1\n", "where it leads is followed");
    undo(&paths);
    assert_eq!(fs::read_link(&conf).unwrap(), Path::new("../live"));
    assert_eq!(fs::read_dir(dir.path().join("etc")).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn another_domain_and_a_file_written_anew_are_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(paths.resolv_conf(), "nameserver 192.0.2.1\n").unwrap();
    setup(&paths, &wish());
    assert_eq!(setup(&paths, &wish()).steps, [], "twice is no change");
    let moved = Wish { domain: "other.test".to_owned(), ..wish() };
    assert_eq!(report::faults(&found(&paths), &paths, &moved).len(), 1);
    setup(&paths, &moved);
    let text = fs::read_to_string(paths.resolv_conf()).unwrap();
    assert!(text.contains("svc.other.test") && !text.contains("cluster.local"), "{text}");
    // A DHCP client takes a new lease.
    fs::write(paths.resolv_conf(), "nameserver 192.0.2.2\n").unwrap();
    setup(&paths, &moved);
    undo(&paths);
    assert_eq!(fs::read_to_string(paths.resolv_conf()).unwrap(), "nameserver 192.0.2.2\n");
}

#[test]
fn a_step_that_fails_takes_the_others_back() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("resolv.conf");
    fs::write(&conf, "former").unwrap();
    let steps = vec![
        Step::Keep { path: conf.clone(), kept: kept_path(&conf) },
        Step::Write { path: conf.clone(), text: "ours".to_owned(), follow: false },
        Step::Write { path: dir.path().join("made"), text: "ours".to_owned(), follow: true },
        Step::Call { program: "false", words: vec![] },
    ];
    let plan = Plan { way: Way::File, why: String::new(), steps, amends: vec![], notes: vec![] };
    let error = perform(&plan).unwrap_err();
    assert!(error.left.is_empty() && error.to_string().contains("call false"), "{error:?}");
    assert_eq!(fs::read_to_string(&conf).unwrap(), "former");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn debians_and_openresolvs_files_get_their_lines() {
    let paths = paths(Path::new("/"));
    let [head, base] = paths.debian_files();
    let empty = vec![(paths.openresolv(), None), (head.clone(), Some("# x\n".to_owned())), (base.clone(), None)];
    for (flavour, expected) in
        [(Resolvconf::Debian, vec![&head, &base]), (Resolvconf::Openresolv, vec![&paths.openresolv()])]
    {
        let mut facts = Facts { resolvconf: Some(flavour), resolvconf_files: empty.clone(), ..Facts::default() };
        let asked = Asked { with: Some(Way::Resolvconf), ..answering() };
        let plan = plan_setup(&facts, &paths, &Wish { namespace: "shop".to_owned(), ..wish() }, &asked).unwrap();
        let mut written = Vec::new();
        for step in &plan.steps {
            if let Step::Write { path, text, .. } = step {
                written.push(path);
                facts.resolvconf_files.iter_mut().find(|(known, _)| known == path).unwrap().1 = Some(text.clone());
            }
        }
        assert_eq!(written, expected);
        assert_eq!(ways_set_up(&facts), [Way::Resolvconf]);
        assert_eq!(super::namespace(&facts).as_deref(), Some("shop"));
    }
}

proptest! {
    #[test]
    fn lines_in_a_file_of_others_leave_no_trace(text in proptest::option::of("([a-z=\" ]{0,9}\n){0,4}[a-z]{0,3}"), more in "[a-z\n]{0,9}") {
        let set = block::with(text.as_deref(), &["a".to_owned(), "b".to_owned()]).unwrap();
        prop_assert_eq!(block::without(&set), Ok(Some(text.clone())));
        // Other lines replace ours, and do not pile up.
        let other = block::with(Some(&set), &["c".to_owned()]).unwrap();
        prop_assert_eq!(block::without(&other), Ok(Some(text.clone())));
        prop_assert_eq!(block::with(Some(&other), &["a".to_owned(), "b".to_owned()]).unwrap(), set.clone());
        // What others add meanwhile stays.
        let added = block::without(&format!("{set}{more}")).unwrap().unwrap();
        prop_assert!(added.unwrap_or_default().ends_with(&more));
    }

    #[test]
    fn undo_gives_back_every_byte(text in "((nameserver|search|options|#|;|)[ a-z0-9.:%]{0,20}[\r\n]{1,2}){0,8}[a-z ]{0,5}", mode in prop::sample::select(vec![0o644, 0o600, 0o640])) {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(paths.resolv_conf(), &text).unwrap();
        fs::set_permissions(paths.resolv_conf(), fs::Permissions::from_mode(mode)).unwrap();
        setup(&paths, &wish());
        prop_assert_eq!(setup(&paths, &wish()).steps, vec![]);
        setup(&paths, &Wish { namespace: "shop".to_owned(), ..wish() });
        undo(&paths);
        prop_assert_eq!(fs::read_to_string(paths.resolv_conf()).unwrap(), text);
        prop_assert_eq!(fs::metadata(paths.resolv_conf()).unwrap().permissions().mode() & 0o777, mode);
        prop_assert_eq!(fs::read_dir(dir.path().join("etc")).unwrap().count(), 1);
    }
}
