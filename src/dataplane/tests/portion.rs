use std::sync::Arc;

use super::super::portion::portions;
use super::{balance, frontend};
use crate::desired::{Change, Contribution};
use crate::model::{ObjectKey, Protocol};

fn change(number: u32, endpoints: usize) -> Change {
    let addrs: Vec<String> = (0..endpoints).map(|host| format!("10.0.0.{host}:80")).collect();
    let verdict = balance(&addrs.iter().map(String::as_str).collect::<Vec<_>>(), None);
    let frontends = vec![frontend(&format!("10.43.0.{number}:80"), Protocol::Tcp, verdict)];
    let key = ObjectKey::new("t", &number.to_string());
    let after =
        Contribution { key: key.clone(), cluster_ips: Vec::new(), frontends, health: None, records: Arc::default() };
    Change { key, before: None, after: Some(Arc::new(after)) }
}

fn sizes(changes: &[Change], bytes_max: usize) -> Vec<usize> {
    portions(changes, bytes_max).map(<[Change]>::len).collect()
}

#[test]
fn changes_are_cut_between_services_only() {
    let changes: Vec<Change> = (0..10).map(|number| change(number, 2)).collect();
    assert_eq!(sizes(&changes, 1 << 20), [10]);
    assert_eq!(sizes(&changes, 1), [1; 10], "one that fits nowhere stands alone");
    // Three elements of four times 128 bytes each, and one chain for all.
    assert_eq!(sizes(&changes, 4096 + 4 * 1536), [4, 4, 2]);
    assert_eq!(sizes(&[], 1), [0; 0]);
}

#[test]
fn a_chain_is_counted_in_every_portion_that_may_make_it() {
    let changes: Vec<Change> =
        (1..=6).map(|endpoints| change(endpoints, usize::try_from(endpoints).unwrap())).collect();
    assert_eq!(sizes(&changes, 2 * (4096 + 1024) + 1024), [2, 1, 1, 1, 1]);
}
