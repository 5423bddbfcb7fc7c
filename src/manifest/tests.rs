use serde_json::json;

use super::*;

fn ok(text: &str) -> Vec<Document> {
    read("web.yaml", text.as_bytes()).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn faults(text: &str) -> Vec<String> {
    read("web.yaml", text.as_bytes()).unwrap_err().iter().map(ToString::to_string).collect()
}

const TWO: &str = "# first\nkind: Service\nspec:\n  ports:\n  - port: 80\n    name: http\n  - port: 443\n---\n\nkind: Pod\nmetadata:\n  name: a\n";

#[test]
fn documents_know_where_their_fields_stand() {
    let documents = ok(TWO);
    let [service, pod] = documents.as_slice() else { panic!("{documents:?}") };
    assert_eq!(service.place.line, 2);
    assert_eq!(service.position("spec.ports[1].port"), "web.yaml:7");
    assert_eq!(service.position("spec.ports[1].name"), "web.yaml:7");
    assert_eq!(service.place_of("spec.ports[0].name"), Place { line: 6, column: 5 });
    assert_eq!(service.position("spec.selector"), "web.yaml:3");
    assert_eq!(service.position("SPEC.ports"), "web.yaml:4");
    assert_eq!(pod.position("metadata.name"), "web.yaml:12");
    assert_eq!(pod.position("nothing"), "web.yaml:10");
}

#[test]
fn empty_documents_are_skipped() {
    for text in ["", "---\n", "---\n---\n", "# only\n---\n# remarks\n", "\n\n", "~\n", "---\nnull\n...\n"] {
        assert!(ok(text).is_empty(), "{text:?}");
    }
    assert_eq!(ok("---\nkind: A\n---\n---\nkind: B\n...\n---\n").len(), 2);
}

#[test]
fn a_directive_belongs_to_the_document_behind_it() {
    let documents = ok("%YAML 1.1\n---\nkind: A\n--- # next\nkind: B\n");
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].position("kind"), "web.yaml:5");
}

#[test]
fn lists_are_taken_apart() {
    let text = "kind: List\napiVersion: v1\nitems:\n- kind: Service\n  metadata: {name: a}\n- kind: ServiceList\n  apiVersion: v1\n  items:\n  - metadata: {name: b}\n";
    let documents = ok(text);
    let names: Vec<&str> = documents.iter().map(|d| d.value["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(documents[1].value["kind"], "Service");
    assert_eq!(documents[1].value["apiVersion"], "v1");
    assert_eq!(documents[1].position("metadata.name"), "web.yaml:9");
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let text = "kind: A\nyes1: yes\noff1: Off\nquoted: \"yes\"\noctal: 0777\nhex: 0x10\nsep: 1_000\nfloat: 1e3\ndate: 2001-01-01\ntime: 1:30\nnull1: ~\nempty:\nbig: 18446744073709551615\non: key\n8080: port\nip: 010.0.0.1\nstr: !!str 5\nmulti: |\n  a\n  b\n";
    let value = &ok(text)[0].value;
    assert_eq!(
        *value,
        json!({"kind": "A", "yes1": true, "off1": false, "quoted": "yes", "octal": 511, "hex": 16, "sep": 1000, "float": 1000,
            "date": "2001-01-01", "time": "1:30", "null1": null, "empty": null, "big": 18_446_744_073_709_551_615.0,
            "true": "key", "8080": "port", "ip": "010.0.0.1", "str": "5", "multi": "a\nb\n"})
    );
}

#[test]
fn anchors_aliases_and_merges_are_followed() {
    let document = ok("kind: A\nbase: &b {x: 1, z: 2}\nother:\n  <<: *b\n  z: 3\nsame: *b\n*k : 1\n"
        .replace("kind: A", "kind: &k A")
        .as_str())
    .remove(0);
    assert_eq!(document.value["other"], json!({"x": 1, "z": 3}));
    assert_eq!(document.value["same"], json!({"x": 1, "z": 2}));
    assert_eq!(document.value["A"], 1);
    assert_eq!(document.position("other.z"), "web.yaml:5");
    assert_eq!(document.position("other.x"), "web.yaml:2");
    // The later counts, and of a list the first.
    let text = "kind: A\nb: [&b {x: 1, z: 1}, &c {z: 2}]\none: {z: 0, <<: *b}\ntwo: {<<: *b, <<: *c}\nlist: {<<: [*b, *c]}\nquoted: {\"<<\": 1}\n";
    let value = ok(text).remove(0).value;
    assert_eq!(value["one"], json!({"x": 1, "z": 1}));
    assert_eq!(value["two"], json!({"x": 1, "z": 2}));
    assert_eq!(value["list"], json!({"x": 1, "z": 1}));
    assert_eq!(value["quoted"], json!({"<<": 1}));
    for wrong in ["a: {<<: 5}\n", "a: {<<: [1]}\n", "a: &a {b: *a}\n", "a: *nobody\n", "[a]: b\n", "~: b\n"] {
        assert_eq!(faults(wrong).len(), 1, "{wrong}");
    }
    assert_eq!(faults("kind: A\nyes: 1\non: 2\n"), ["web.yaml:3:1: duplicate key \"true\""]);
}

#[test]
fn every_fault_of_every_document_is_told() {
    let found =
        faults("kind: A\nspec:\n  a: 1\n  b: 2\n  a: 3\nkind: B\n---\nkind: [\n---\n- list\n---\nkind: C\n\tx: 1\n");
    assert_eq!(found[0], "web.yaml:5:3: duplicate key \"spec.a\"");
    assert_eq!(found[1], "web.yaml:6:1: duplicate key \"kind\"");
    assert!(found[2].starts_with("web.yaml:8:") || found[2].starts_with("web.yaml:9:"), "{found:?}");
    assert!(
        found.iter().any(|line| line.starts_with("web.yaml:10:") && line.contains("must be an object")),
        "{found:?}"
    );
    assert!(found.iter().any(|line| line.starts_with("web.yaml:12:") && line.contains("tab")), "{found:?}");
    assert_eq!(found.len(), 5, "{found:#?}");
}

#[test]
fn json_is_read_by_the_rules_of_json() {
    let documents =
        ok("{\"kind\": \"A\",\n\t\"s\": \"\\ud83d\\ude00\\/\"}\n{\"kind\": \"B\",\n \"spec\": {\"x\": [1,\n 2]}}\n");
    assert_eq!(documents[0].value["s"], "😀/");
    assert_eq!(documents[1].place.line, 3);
    assert_eq!(documents[1].position("spec.x[1]"), "web.yaml:5");
    assert_eq!(ok("{kind: A, a: yes}")[0].value["a"], true);
    assert_eq!(ok("{\"kind\": \"A\", \"a\": [1.0, 1e3, -0, 1.5]}")[0].value["a"], json!([1, 1000, 0, 1.5]));
    assert_eq!(ok("{\"kind\": \"A\"}\n---\n{\"kind\": \"B\"}\n").len(), 2);
    assert_eq!(
        faults("{\"kind\": \"A\",\n \"spec\": {\"a\": 1, \"a\": 2}}"),
        ["web.yaml:2:19: duplicate key \"spec.a\""]
    );
    let found = faults("{\"kind\": \"A\",\n \"b\": 1 \"c\": 2}");
    assert_eq!(found, ["web.yaml:2:9: expected `,` or `}`"]);
}

#[test]
fn bombs_are_refused_quickly() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let refs = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let deep_block: String = (0..3000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let deep_json = format!("{{\"a\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let dashes = "- ".repeat(5000);
    for bomb in [laughs, deep, deep_block, deep_json, dashes] {
        assert_eq!(faults(&bomb).len(), 1);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let found = read("x", b"kind: A\nname: \xff\n").unwrap_err();
    assert_eq!(found[0].to_string(), "x:2:1: is not UTF-8 text");
    assert_eq!(ok("\u{feff}kind: A\n").len(), 1);
    assert!(read("x", &vec![b'\n'; FILE_BYTES_MAX + 1]).is_err());
}

#[test]
fn infinity_is_not_json() {
    assert_eq!(faults("kind: .inf\n").len(), 1);
    assert_eq!(faults("kind: .nan\n").len(), 1);
}

#[test]
fn a_body_is_one_document() {
    let parsed = yaml::from_slice(b"kind: Service\nspec:\n  a: 1\n  a: 2\n").unwrap();
    assert_eq!(parsed.value["spec"]["a"], 2);
    assert_eq!(parsed.duplicates, [yaml::Duplicate { path: "spec.a".to_owned(), place: Place { line: 4, column: 3 } }]);
    assert!(yaml::from_slice(b"").unwrap().value.is_null());
    assert!(yaml::from_slice(b"a: 1\n---\nb: 2\n").is_err());
    assert!(yaml::from_slice(b"{bad").is_err());
    assert!(yaml::from_slice(&vec![b' '; yaml::BODY_BYTES_MAX + 1]).is_err());
    assert!(yaml::from_slice(&[0xff]).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "(?s)[-a-c:{}\\[\\]&*!|>'\"#%@,?~ \n\t0-9.<]{0,200}") {
        if let Ok(documents) = read("f", text.as_bytes()) {
            for document in documents {
                let printed = yaml::to_string(&document.value);
                let back = yaml::from_slice(printed.as_bytes()).map(|parsed| parsed.value);
                proptest::prop_assert_eq!(back.as_ref().ok(), Some(&document.value), "{}", printed);
            }
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again(words in "(?s)\\PC{0,40}") {
        let value = json!({"a": words, "b": [words, {"c": words}]});
        let printed = yaml::to_string(&value);
        let back = yaml::from_slice(printed.as_bytes()).map(|parsed| parsed.value);
        proptest::prop_assert_eq!(back.ok(), Some(value), "{}", printed);
    }
}
