use super::super::firewalls::{ForeignRule, RuleKind, Site, Step};

const BIT: Option<u32> = Some(0x2000);
const OURS: RuleKind = RuleKind::Ours(0x2000);

fn site(chain: &str, drops: bool, kinds: &[RuleKind]) -> Site {
    let rules = (1..).zip(kinds).map(|(handle, kind)| ForeignRule { handle, kind: *kind }).collect();
    Site { family: 2, table: "filter".to_owned(), chain: chain.to_owned(), owned: false, drops, rules }
}

#[test]
fn a_rule_goes_behind_what_the_administrator_wrote_and_before_what_drops_the_rest() {
    use RuleKind::{AcceptsTranslated, DropsAll, EndsAll, Other};
    let add = |before| vec![Step::Add { before }];
    let forward = |drops, kinds: &[RuleKind]| site("FORWARD", drops, kinds).steps(BIT);
    assert_eq!(forward(false, &[Other]), [], "nothing is dropped there");
    assert_eq!(forward(false, &[Other, EndsAll]), []);
    assert_eq!(forward(true, &[]), add(None));
    assert_eq!(forward(true, &[Other, Other]), add(None));
    assert_eq!(forward(false, &[Other, DropsAll]), add(Some(2)));
    assert_eq!(forward(true, &[Other, EndsAll, DropsAll]), add(Some(2)), "what is behind is never met");
    assert_eq!(forward(true, &[Other, AcceptsTranslated, DropsAll]), [], "firewalld lets us through");
    assert_eq!(site("DOCKER-USER", false, &[]).steps(BIT), add(None));
    assert_eq!(site("DOCKER-USER", false, &[Other, EndsAll]).steps(BIT), add(Some(2)), "Docker's final RETURN");
}

#[test]
fn a_rule_that_stands_where_it_should_is_left_and_any_other_is_removed() {
    use RuleKind::{DropsAll, Other, Ours};
    let forward = |kinds: &[RuleKind]| site("FORWARD", true, kinds).steps(BIT);
    assert_eq!(forward(&[Other, OURS]), []);
    assert_eq!(forward(&[Other, OURS, DropsAll]), []);
    let moved = |before, handle| vec![Step::Add { before }, Step::Remove { handle }];
    assert_eq!(forward(&[OURS, Other]), moved(None, 1), "somebody wrote a rule behind it");
    assert_eq!(forward(&[Other, DropsAll, OURS]), moved(Some(2), 3), "no packet comes so far");
    assert_eq!(forward(&[Ours(0x4000)]), moved(None, 1), "of another setting");
    assert_eq!(forward(&[OURS, OURS]), [Step::Remove { handle: 1 }], "restored from a saved file");
    assert_eq!(site("FORWARD", false, &[Other, OURS]).steps(BIT), [Step::Remove { handle: 2 }], "not needed any more");
    assert_eq!(site("DOCKER-USER", false, &[OURS]).steps(None), [Step::Remove { handle: 1 }], "cleanup");
    let owned = |kinds: &[RuleKind]| Site { owned: true, ..site("filter_FORWARD", false, kinds) };
    assert_eq!(owned(&[DropsAll]).steps(BIT), [], "nobody but its owner may");
    assert!(owned(&[DropsAll]).is_out_of_reach() && !owned(&[Other]).is_out_of_reach());
    assert!(!owned(&[RuleKind::AcceptsTranslated, DropsAll]).is_out_of_reach());
}
