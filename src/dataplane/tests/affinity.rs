use super::super::affinity::{Live, forgets};
use super::super::table::{Data, SetName, Slot, endpoint_data};
use super::{balance, frontend};
use crate::desired::Verdict;
use crate::model::{IpFamily, Protocol};

const A: &str = "10.0.0.1:8080";
const B: &str = "10.0.0.2:8080";

#[test]
fn only_the_loss_of_an_affine_endpoint_leaves_entries_behind() {
    let web = |endpoints: &[&str], seconds| frontend("10.43.0.1:80", Protocol::Tcp, balance(endpoints, seconds));
    let (both, one) = (web(&[A, B], Some(10)), web(&[A], Some(10)));
    assert!(forgets(Some(&both), Some(&one)));
    assert!(forgets(Some(&one), None));
    assert!(forgets(Some(&one), Some(&frontend("10.43.0.1:80", Protocol::Tcp, Verdict::Refuse))));
    assert!(forgets(Some(&one), Some(&web(&[A], None))), "affinity was switched off");
    assert!(!forgets(Some(&one), Some(&both)));
    assert!(!forgets(Some(&one), Some(&web(&[A], Some(20)))), "a new timeout shortens nothing");
    assert!(!forgets(Some(&web(&[A, B], None)), Some(&web(&[A], None))));
    assert!(!forgets(None, Some(&one)));
}

#[test]
fn an_entry_holds_while_its_frontend_has_the_endpoint() {
    let frontends = [
        frontend("10.43.0.1:80", Protocol::Tcp, balance(&[A], Some(10))),
        frontend("nodeport:30080", Protocol::Udp, balance(&[A], Some(10))),
        frontend("10.43.0.2:80", Protocol::Tcp, balance(&[A], None)),
    ];
    let live = Live::of(frontends.iter());
    let holds = |set, key: &[u8], endpoint: &str| {
        let key = [&[192, 0, 2, 1], key].concat();
        live.holds(&Slot::new(IpFamily::V4, set, key), &Data::Bytes(endpoint_data(endpoint.parse().unwrap())))
    };
    let virtual_key = [10, 43, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0];
    assert!(holds(SetName::Affinity, &virtual_key, A));
    assert!(!holds(SetName::Affinity, &virtual_key, B));
    assert!(!holds(SetName::Affinity, &[10, 43, 0, 2, 6, 0, 0, 0, 0, 80, 0, 0], A), "no affinity there");
    assert!(!holds(SetName::Affinity, &[10, 43, 0, 1, 17, 0, 0, 0, 0, 80, 0, 0], A), "another protocol");
    let words = [0_u32, 17 << 24 | 30080].map(u32::to_ne_bytes).concat();
    assert!(holds(SetName::SharedAffinity, &words, A) && !holds(SetName::SharedAffinity, &words, B));
    assert!(!live.holds(&Slot::new(IpFamily::V4, SetName::Affinity, vec![1, 2]), &Data::Nothing));
}
