//! Floor 0, tests: whatever a value is, the query that is asked has the shape that its author gave it, and the value in it.
//! The reader here is written after Prometheus' own and knows nothing of how values are put in.

use proptest::prelude::*;

use super::*;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

#[test]
fn values_are_put_in_quoted() {
    for (query, value, expected) in [
        ("up{app=$app}", "checkout", r#"up{app="checkout"}"#),
        ("up{app = $app}", "a", r#"up{app = "a"}"#),
        ("up{app!=$app,b=\"c\"}", "a", r#"up{app!="a",b="c"}"#),
        (
            "up{app=$app}",
            r#"a"} or vector(1) #"#,
            r#"up{app="a\"} or vector(1) #"}"#,
        ),
        ("up{app=$app}", r"a\", r#"up{app="a\\"}"#),
        (
            "up{app=$app}",
            "a\nb\r\0é\u{fffd}😀",
            r#"up{app="a\u000ab\u000d\u0000\u00e9\ufffd\U0001f600"}"#,
        ),
        // The whole of it, and nothing like it.
        ("up{app=~$app}", ".*", r#"up{app=~"\\.\\*"}"#),
        ("up{app!~$app}", "a|b", r#"up{app!~"a\\|b"}"#),
        // What names nothing of ours is Prometheus' own.
        (
            r#"label_replace(up{app=$app}, "a", "$1", "b", "(.*)$")"#,
            "x",
            r#"label_replace(up{app="x"}, "a", "$1", "b", "(.*)$")"#,
        ),
        (
            "up{app=$app} # of $app, \"one",
            "x",
            "up{app=\"x\"} # of $app, \"one",
        ),
        ("up{app=# why\n$app}", "x", "up{app=# why\n\"x\"}"),
    ] {
        assert_eq!(
            filled(query, &values(&[("app", value)])).as_deref(),
            Ok(expected),
            "{query}"
        );
    }
    let two = filled("a{b=$x,c=$x_y}", &values(&[("x", "1"), ("x_y", "2")]));
    assert_eq!(two.as_deref(), Ok(r#"a{b="1",c="2"}"#));
}

#[test]
fn a_value_stands_where_a_label_value_does() {
    let app = || "app".to_owned();
    for (query, expected) in [
        ("up{app=\"$app\"}", QueryError::InQuotes(app())),
        ("up{app='x$app'}", QueryError::InQuotes(app())),
        ("up{app=`$app`}", QueryError::InQuotes(app())),
        ("up{$app=\"x\"}", QueryError::NoLabelValue(app())),
        ("$app", QueryError::NoLabelValue(app())),
        ("up == $app", QueryError::NoLabelValue(app())),
        ("up{app==$app}", QueryError::NoLabelValue(app())),
        ("up{a=\"b\"} >= $app", QueryError::NoLabelValue(app())),
        ("rate(up{a=\"b\"}[$app])", QueryError::NoLabelValue(app())),
        ("up = $app", QueryError::NoLabelValue(app())),
        ("up{app=$other}", QueryError::NoValue("other".to_owned())),
        ("up{app=$1}", QueryError::NoName),
        ("up{app=$}", QueryError::NoName),
        ("up{app=\"x}", QueryError::Open),
        ("up{app=\"x\\\"}", QueryError::Open),
    ] {
        assert_eq!(
            filled(query, &values(&[("app", "x")])),
            Err(expected),
            "{query}"
        );
    }
    assert_eq!(wanted("a{b=$x} + c{d!~$y} # $z").unwrap(), ["x", "y"]);
    assert_eq!(wanted("a{b=\"$x\"}").unwrap(), [""; 0]);
    assert!(["a", "_", "a1", "a_b"].into_iter().all(is_name));
    assert!(!["", "1a", "a-b", "é"].into_iter().any(is_name));
}

/// What Prometheus reads: texts by what they say, everything else sign by sign.
#[derive(Debug, PartialEq)]
enum Token {
    Sign(char),
    Text(String),
}

fn read(query: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut signs = query.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '#' => while signs.next_if(|c| !['\n', '\r'].contains(c)).is_some() {},
            '`' => tokens.push(Token::Text(
                signs.by_ref().take_while(|c| *c != '`').collect(),
            )),
            '"' | '\'' => {
                let mut text = String::new();
                loop {
                    match signs.next().expect("a text that ends") {
                        c if c == sign => break,
                        '\n' | char::REPLACEMENT_CHARACTER => {
                            panic!("Prometheus refuses this in a text")
                        }
                        '\\' => text.push(escaped(&mut signs, sign)),
                        c => text.push(c),
                    }
                }
                tokens.push(Token::Text(text));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Sign(c)),
        }
    }
    tokens
}

fn escaped(signs: &mut impl Iterator<Item = char>, mark: char) -> char {
    let digits = match signs.next().expect("a sign") {
        '\\' => return '\\',
        c if c == mark => return c,
        'u' => 4,
        'U' => 8,
        other => panic!("Prometheus knows no \\{other}"),
    };
    let number: String = signs.take(digits).collect();
    char::from_u32(u32::from_str_radix(&number, 16).expect("a number")).expect("a character")
}

/// What such an expression matches, if it has nothing in it but escapes.
fn matched(pattern: &str) -> String {
    let mut text = String::new();
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => text.push(signs.next().expect("what is escaped")),
            c => {
                assert!(
                    !".+*?()|[]{}^$".contains(c),
                    "{pattern} is more than a text"
                );
                text.push(c);
            }
        }
    }
    text
}

/// Everything that might mean something to some reader, and anything else.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\"'`\\\\$#{}()=~!,\n\r\t au0x1|.*+\\[\\]]{1,16}",
        any::<String>().prop_filter("asks for something", |value| !value.is_empty()),
    ]
}

proptest! {
    #[test]
    fn no_value_changes_the_shape_of_a_query(one in any_value(), other in any_value()) {
        let query = "sum(rate(http_errors{app=$one, path!=$other, q='it\\'s', r=`\\`}[5m])) # as \"they\" say\n / on() up{a=~$one,b!~$other}";
        let found = read(&filled(query, &values(&[("one", &one), ("other", &other)])).unwrap());
        let plain = read(&filled(query, &values(&[("one", "ONE"), ("other", "OTHER")])).unwrap());
        prop_assert_eq!(found.len(), plain.len());
        let mut seen = [0; 2];
        for (found, plain) in found.iter().zip(&plain) {
            match (found, plain) {
                (Token::Text(found), Token::Text(plain)) if plain == "ONE" || plain == "OTHER" => {
                    let which = usize::from(plain == "OTHER");
                    seen[which] += 1;
                    // The second time each stands behind a pattern's sign.
                    let said = if seen[which] == 2 { matched(found) } else { found.clone() };
                    prop_assert_eq!(&said, if which == 0 { &one } else { &other });
                }
                (found, plain) => prop_assert_eq!(found, plain),
            }
        }
        prop_assert_eq!(seen, [2, 2]);
    }

    /// Whatever the author writes, it is read or refused, and what has no values stays as it is.
    #[test]
    fn a_query_without_values_stays_as_it_is(query in "[a{}=~!\"'`#$\\\\ \n]{0,24}") {
        if let Ok(text) = filled(&query, &BTreeMap::new()) {
            prop_assert_eq!(text, query);
        }
    }
}

#[test]
fn an_empty_value_is_refused_because_it_selects_whatever_lacks_the_label() {
    for query in ["up{a=$a}", "up{a=~$a}", "up{a!=$a}"] {
        let refused = filled(query, &values(&[("a", "")])).unwrap_err();
        assert_eq!(refused, QueryError::Empty("a".to_owned()), "{query}");
    }
}
