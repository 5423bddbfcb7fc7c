//! What the zone costs: memory that is counted, not looked up.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::*;

/// Bytes of the zone for each Service, its records among them: ten megabytes for ten
/// thousand (the store's objects come on top).
const SERVICE_BYTES_MAX: usize = 1000;
/// Bytes that one change takes while an older zone is still read: a few nodes of a
/// tree, however many Services there are.
const CHANGE_BYTES_MAX: usize = 20_000;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what the thread holds.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What glibc takes for so many bytes.
fn taken(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

fn count(change: impl Fn(usize) -> usize) {
    HELD.try_with(|held| held.set(change(held.get()))).unwrap_or_default();
}

#[allow(unsafe_code, reason = "an allocator cannot be counted otherwise")]
// SAFETY: every request is the system's to meet; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|held| held.wrapping_add(taken(layout)));
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(|held| held.wrapping_sub(taken(layout)));
        // SAFETY: it came from the system's allocator, and the caller keeps its promises.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Bytes that are held after `work` and were not before.
fn held_by<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.get();
    let made = work();
    (HELD.get().wrapping_sub(before), made)
}

fn dual(n: u32) -> Option<Arc<ServiceRecords>> {
    let (v4, v6) = (0x0A2B_0000 + n, (0xFD43 << 112) + u128::from(n));
    let cluster_ips = vec![std::net::Ipv4Addr::from(v4).into(), std::net::Ipv6Addr::from(v6).into()];
    let endpoint = |m| endpoint(&std::net::Ipv4Addr::from(0x0A80_0000 + 2 * n + m).to_string(), None, &[]);
    let ports = vec![port("http", Protocol::Tcp, 80)];
    Some(Arc::new(ServiceRecords {
        cluster_ips,
        ports,
        endpoints: vec![endpoint(0), endpoint(1)],
        ..Default::default()
    }))
}

#[test]
fn ten_thousand_services_take_ten_megabytes_and_a_change_what_it_is() {
    for services in [1000_u32, 10_000] {
        // Names are the store's.
        let keys: Vec<_> = (0..services).map(|n| ObjectKey::new("default", &format!("service-{n}"))).collect();
        let tell = |zone: &mut Zone, n: u32, records| {
            zone.apply(Change::Service { key: keys[usize::try_from(n).unwrap()].clone(), records }, 1);
        };
        let (held, mut zone) = held_by(|| {
            let mut zone = Zone::default();
            (0..services).for_each(|n| tell(&mut zone, n, dual(n)));
            zone
        });
        let each = held / usize::try_from(services).unwrap();
        assert!(each <= SERVICE_BYTES_MAX, "{each} bytes for each of {services} Services");
        let read = zone.clone();
        let (held, ()) = held_by(|| tell(&mut zone, services / 2, dual(services)));
        assert!(held <= CHANGE_BYTES_MAX, "{held} bytes for one change among {services} Services");
        assert_ne!(read.reverse("10.43.0.1".parse().unwrap()).count(), 0);
    }
}
