//! Floor 2, tests: what expressions say, what is refused, and that nothing that anybody writes ends or holds up the process.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn holds(expression: &str, object: Value) -> Result<bool, CelError> {
    let variables = BTreeMap::from([("object", object), ("params", json!({"n": 2, "s": "a"}))]);
    block(Cel::default().holds(expression, variables))
}

fn check(expression: &str) -> Result<(), CelError> {
    block(Cel::default().check(expression, &["object", "params"]))
}

#[test]
fn what_could_never_hold_is_refused_before_anybody_is_asked() {
    for (expression, told) in [
        ("1 + 1", "gives no truth value but a number"),
        ("'yes'", "gives no truth value but a text"),
        ("[true]", "gives no truth value but a list"),
        ("size(object.items)", "gives no truth value but a number"),
        (
            "object.a.shout()",
            "there is no function shout; there are bool, bytes",
        ),
        ("now() > 1", "there is no function now"),
        ("object.items.exists(1)", "there is no function exists"),
    ] {
        let error = check(expression).expect_err(expression).to_string();
        assert!(error.contains(told), "{expression}: {error}");
    }
    for good in [
        "object.ready",
        "object.items.all(i, i.ready)",
        "size(object.a) == 1 && !has(object.b)",
        "object.a in ['a', 'b'] ? true : params.s == 'a'",
        "string(params.n) == '2' && object.name.startsWith('a') && -params.n < 0",
        "type(object.a) == string && object.items.exists_one(i, i[0] == 1)",
    ] {
        assert!(check(good).is_ok(), "{good}: {:?}", check(good));
    }
}

#[test]
fn expressions_see_the_object_as_its_author_does() {
    let object = json!({
        "metadata": {"name": "checkout", "labels": {"app.kubernetes.io/name": "x"}},
        "spec": {"replicas": 3, "share": 0.5, "nothing": null},
        "status": {"availableReplicas": 3, "conditions": [
            {"type": "Available", "status": "True"}, {"type": "Progressing", "status": "False"},
        ]},
    });
    for (expression, expected) in [
        (
            "object.status.availableReplicas == object.spec.replicas",
            true,
        ),
        ("object.spec.replicas + 1 > params.n * 2", false),
        ("object.spec.replicas >= params.n", true),
        (
            "object.metadata.labels['app.kubernetes.io/name'] == 'x'",
            true,
        ),
        (
            "object.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')",
            true,
        ),
        ("object.status.conditions.all(c, c.status == 'True')", false),
        (
            "size(object.status.conditions.filter(c, c.status == 'True')) == 1",
            true,
        ),
        (
            "object.status.conditions.map(c, c.type)[0].startsWith('Avail')",
            true,
        ),
        ("has(object.status.ready)", false),
        (
            "has(object.status.ready) ? object.status.ready == 1 : true",
            true,
        ),
        ("object.spec.share < 1.0", true),
        ("object.spec.nothing == null", true),
        ("object.metadata.name.contains(params.s)", false),
    ] {
        assert_eq!(
            holds(expression, object.clone()).unwrap(),
            expected,
            "{expression}"
        );
    }
}

#[test]
fn what_is_not_there_yet_is_told_from_mistakes_and_no_value_is_told() {
    const CANARY: &str = "c4n4ry-v4lue";
    let object =
        json!({"spec": {"a": CANARY, "n": 1}, "status": {"conditions": []}, "data": {CANARY: "x"}});
    for expression in [
        "object.status.ready == 1",
        "object.ready.a == 1",
        "object.status.conditions[0].a == 1",
    ] {
        let error = holds(expression, object.clone()).unwrap_err();
        assert!(
            matches!(error, CelError::Missing(_)) && error.may_pass(),
            "{expression}: {error}"
        );
    }
    for expression in [
        "object.spec.a",
        "object.spec.a + 1 == 2",
        "object.spec.a.n == 1",
        "-object.spec.a == 1",
        "object.spec.a < 1",
        "object.spec.n / 0 == 1",
        "object.spec.n % 0 == 1",
        "object.spec.a[0] == 'c'",
        "int(object.spec.a) == 1",
        "object.spec.a.nothing(1)",
        "object.data.exists(k, k + 1 == 2)",
        "!object.spec.a",
        "object.spec.a ? true : false",
        "object.spec.n + 9223372036854775807 > 0",
        "{object.spec.a: 1, object.spec.a: 2}.size() == 1",
        "timestamp(object.spec.a) == 1",
    ] {
        let error = holds(expression, object.clone()).unwrap_err();
        let told = crate::adapters::kube::error::chain(&error);
        assert!(!told.contains(CANARY), "{expression}: {told}");
        assert!(
            !matches!(error, CelError::BrokeOff | CelError::Missing(_)),
            "{expression}: {told}"
        );
    }
}

#[test]
fn what_could_take_for_ever_or_end_the_process_is_not_even_read() {
    for (expression, word) in [
        ("1+".repeat(600) + "1 == 1", "bytes"),
        ("1+".repeat(300) + "1 == 1", "words and signs"),
        ("!".repeat(1000) + "true", "words and signs"),
        ("-".repeat(1000) + "1", "words and signs"),
        ("(".repeat(40) + "1" + &")".repeat(40), "deep"),
        ("[".repeat(1000), "deep"),
        ("object.l.all(a, object.l.all(b, a == b))".into(), "loop"),
        (
            "object.l.map(a, object.l.filter(b, a == b)).size() > 0".into(),
            "loop",
        ),
        ("object.s.matches('(a+)+$')".into(), "matches"),
        ("matches(object.s, 'a')".into(), "matches"),
        ("secret.a == 1".into(), "no variable secret"),
        ("object.l.all(a, a == 1) && a == 1".into(), "no variable a"),
    ] {
        let error = check(&expression).unwrap_err();
        assert!(
            matches!(&error, CelError::NotAllowed(why) if why.contains(word)),
            "{expression}: {error}"
        );
    }
    // One after the other is no loop within a loop.
    check("object.l.filter(a, a > 1).map(b, b + 1).exists(c, c == params.n) || object.l.all(a, a > 1)").unwrap();
    assert!(matches!(check("object.a =="), Err(CelError::Syntax(_))));
    assert!(matches!(check(""), Err(CelError::Syntax(_))));
}

#[test]
fn long_lists_are_not_looked_at() {
    let within = json!({"a": {"l": vec![1; 256]}});
    assert!(holds("object.a.l.all(x, x == 1)", within).unwrap());
    let error = holds("true", json!({"a": [{"l": vec![1; 257]}]})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "object.a.l has 257 entries; expressions look at lists of at most 256"
    );
}

#[test]
fn the_longest_that_is_allowed_compiles_on_the_stack_that_it_gets() {
    let chains = [
        vec!["1"; 199].join("+") + " == 1",
        vec!["true"; 190].join("&&"),
        vec!["true"; 99].join("?true:") + "?true:false",
        format!("object{}", ".b".repeat(190)),
        "!".repeat(399) + "true",
        "-".repeat(399) + "1",
        "(".repeat(24) + "1" + &")".repeat(24),
        "[".repeat(24) + &"]".repeat(24),
        "{1:".repeat(24) + "1" + &"}".repeat(24),
        "a[".repeat(24) + "1" + &"]".repeat(24),
    ];
    // Whoever asks needs next to nothing of a stack.
    let asking = std::thread::Builder::new().stack_size(256 * 1024);
    let asked = asking.spawn(move || {
        for chain in chains {
            let _ = holds(&chain, json!({}));
        }
    });
    asked.unwrap().join().unwrap();
}

#[test]
fn one_that_takes_too_long_is_given_up_and_refused_for_a_while() {
    let cel = Cel::default();
    // Not a loop within a loop, but a long list made of many.
    let list = vec!["object.l"; 90].join("+");
    let slow = format!(
        "({list}).map(x, x + x).size() > 0 && ({}).size() > 0",
        "object.l"
    );
    let object = json!({"l": vec!["x".repeat(2000); 256]});
    let ask = || BTreeMap::from([("object", object.clone())]);
    block(async {
        let first = cel.holds(&slow, ask()).await;
        assert!(matches!(first, Err(CelError::Slow)), "{first:?}");
        // Others are not held up by it.
        assert!(cel.holds("object.l.size() == 256", ask()).await.unwrap());
        // It is tried again when that is over.
        let now = Instant::now();
        assert!(cel.refuses(&slow, now + REFUSED_FOR - Duration::from_secs(60)));
        let before = cel.refused().clone();
        assert!(!cel.refuses(&slow, now + REFUSED_FOR));
        *cel.refused() = before;
        // Not even a place is asked for any more.
        cel.places.close();
        assert!(matches!(cel.holds(&slow, ask()).await, Err(CelError::Slow)));
        assert!(matches!(
            cel.holds("true", ask()).await,
            Err(CelError::Busy)
        ));
    });
}

#[test]
fn given_up_threads_are_bounded() {
    let cel = Cel::default();
    block(async {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for number in 0..PLACES {
            let place = Arc::clone(&cel.places).acquire_owned().await.unwrap();
            let held = Arc::clone(&held);
            let work = move || {
                let _ = held.lock().unwrap().recv();
            };
            let running = Evaluation::start(place, work).unwrap();
            drop(running);
            assert_eq!(cel.places.available_permits(), PLACES - 1 - number);
        }
        let nothing = BTreeMap::new();
        assert!(matches!(
            cel.holds("true", nothing.clone()).await,
            Err(CelError::Busy)
        ));
        drop(release);
        // A thread that comes to its end makes room.
        let place = Arc::clone(&cel.places).acquire_owned().await.unwrap();
        drop(place);
        assert!(cel.holds("true", nothing).await.unwrap());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_that_anybody_writes_ends_the_process(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "object", ".a", ".l", "params", "(", ")", "[", "]", "{", "}", "+", "-", "!", "&&", "||", "?", ":", ",", "1", "'x'",
                "\"", "'", "\\", ".all(x,", ".map(x,", ".filter(y,", "has(", "size(", "==", "<", "in", "null", "true", "b'x'", "0x", "1e9",
                "r'''", "//", "\n", "ä", "\u{0}", "matches(", "x", "%", "/", "*",
            ]),
            0..300,
        )
    ) {
        let expression = words.concat();
        let _ = holds(&expression, json!({"a": {"a": 1}, "l": [1, 2, {"l": ["x"]}]}));
    }
}
