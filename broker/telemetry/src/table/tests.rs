use std::time::Duration;

use crate::{Counter, Gauge, Histogram, Rows};

crate::metrics! {
    /// What a test counts.
    Tested {
        /// Whether it is up.
        up: Gauge = "ottla_up", "0 or 1";
        /// What was sent,
        /// in all.
        sent: Counter = "ottla_sent_total", "bytes";
        /// Calls, by API.
        calls: Rows<Counter> = "ottla_calls_total", "calls",
            Rows::new("api", ["Fetch", "Produce"].map(str::to_owned));
        /// How long each took.
        time: Histogram = "ottla_call_seconds", "seconds";
    }
}

#[test]
fn the_page_has_what_was_counted_under_the_names_of_the_table() {
    let tested = Tested::default();
    tested.up.set(1);
    tested.sent.inc_by(7);
    tested.calls.get(1).unwrap().inc();
    assert!(tested.calls.get(2).is_none());
    let page = tested.page();
    let head = "# HELP ottla_up Whether it is up.\n\
                # TYPE ottla_up gauge\n\
                ottla_up 1\n\
                # HELP ottla_sent_total What was sent, in all.\n\
                # TYPE ottla_sent_total counter\n\
                ottla_sent_total 7\n\
                # HELP ottla_calls_total Calls, by API.\n\
                # TYPE ottla_calls_total counter\n\
                ottla_calls_total{api=\"Produce\"} 1\n\
                # HELP ottla_call_seconds How long each took.\n";
    assert!(page.starts_with(head), "{page}");
}

#[test]
fn a_time_is_in_the_first_bucket_that_holds_it() {
    let tested = Tested::default();
    for us in [0, 100, 101, 5_000_000, 60_000_000] {
        tested.time.observe(Duration::from_micros(us));
    }
    let page = tested.page();
    let line = |bound: &str| {
        let start = format!("ottla_call_seconds_bucket{{le=\"{bound}\"}} ");
        let found = page
            .lines()
            .find_map(|line| line.strip_prefix(start.as_str()));
        found
            .unwrap_or_else(|| panic!("{bound} in {page}"))
            .to_owned()
    };
    let counts = ["0.0001", "0.00025", "2.5", "5", "10", "+Inf"].map(line);
    assert_eq!(counts, ["2", "3", "3", "4", "4", "5"]);
    assert!(page.contains("\nottla_call_seconds_count 5\n"), "{page}");
    assert!(
        page.contains("\nottla_call_seconds_sum 65.000201\n"),
        "{page}"
    );
}

#[test]
fn the_docs_have_a_line_for_each_row() {
    let docs = super::docs("# Numbers\n\n", Tested::ROWS);
    let start = "# Numbers\n\n| name | type | unit | what |\n|---|---|---|---|\n\
                 | `ottla_up` | gauge | 0 or 1 | Whether it is up. |\n";
    assert!(docs.starts_with(start), "{docs}");
    assert!(
        docs.ends_with("| `ottla_call_seconds` | histogram | seconds | How long each took. |\n")
    );
}
