//! Which classes there are, and the lanes that run them.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};

use super::kept::Kept;
use super::known::Known;
use super::worker::{Jvm, Report, Task, Worker};
use super::{Case, Verdict, judge, short};

/// The suites, and the jar of each.
const SUITES: [(&str, &str); 4] = [
    ("clients", "kafka-clients-integration-tests"),
    ("tools", "kafka-tools"),
    ("server", "kafka-server"),
    ("core", "kafka_2.13"),
];

/// The suite that is a choice from the others (`e2e/suites/sample.txt`).
const SAMPLE: &str = "sample";

/// A class, or some of its methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Its full name.
    pub class: String,
    /// A regular expression; empty for all.
    pub methods: String,
}

/// Every class of every suite, by suite.
///
/// # Errors
/// The jars cannot be read.
pub fn catalogue(class_path: &str, jars: &Path) -> Result<BTreeMap<&'static str, Vec<String>>> {
    let mut suites = BTreeMap::new();
    for (suite, jar) in SUITES {
        let start = format!("{jar}-");
        let mut names = std::fs::read_dir(jars)?.flatten().map(|file| file.path());
        let path = names
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let version = name.strip_prefix(&start).unwrap_or_default();
                version.starts_with(|c: char| c.is_ascii_digit()) && name.ends_with("-test.jar")
            })
            .with_context(|| format!("no {jar} in {}", jars.display()))?;
        let output = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-cp", class_path])
            .arg("io.ottla.suites.Catalogue")
            .arg(&path)
            .output()
            .context("starting java")?;
        ensure!(
            output.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout)?;
        suites.insert(suite, text.lines().map(str::to_string).collect());
    }
    Ok(suites)
}

/// What these names mean: suites, classes (with or without package) and `Class#method`.
///
/// # Errors
/// A name is none of them.
pub fn wishes(
    names: &[String],
    suites: &BTreeMap<&'static str, Vec<String>>,
    sample: &str,
) -> Result<Vec<Wish>> {
    let mut wishes = Vec::new();
    for name in names {
        if name == SAMPLE {
            let lines = sample.lines().filter(|line| !line.starts_with('#'));
            let chosen: Vec<_> = lines.map(str::to_string).collect();
            wishes.extend(self::wishes(&chosen, suites, "")?);
            continue;
        }
        if let Some(classes) = suites.get(name.as_str()) {
            wishes.extend(classes.iter().map(|class| whole(class)));
            continue;
        }
        let (class, methods) = name.split_once('#').unwrap_or((name, ""));
        let mut all = suites.values().flatten();
        let Some(class) = all.find(|known| *known == class || short(known) == class) else {
            bail!(
                "no suite and no class is called {name}; suites are {}, {SAMPLE}",
                SUITES.map(|(suite, _)| suite).join(", ")
            );
        };
        wishes.push(Wish {
            class: class.clone(),
            methods: methods.to_string(),
        });
    }
    Ok(wishes)
}

fn whole(class: &str) -> Wish {
    Wish {
        class: class.to_string(),
        methods: String::new(),
    }
}

/// Runs them, `lanes` at a time, and keeps what they come to. What fails and is not known
/// to is run once more, alone: a busy machine makes tests time out.
///
/// # Errors
/// No JVM can be started, or what came out cannot be kept.
pub fn run(
    wishes: &[Wish],
    jvm: &Jvm,
    known: &Known,
    lanes: usize,
    kept: &mut Kept,
) -> Result<Report> {
    let queue = Mutex::new(wishes.iter().collect::<VecDeque<_>>());
    let whole = Mutex::new((Report::default(), &mut *kept));
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let mut worker = Worker::new(jvm);
                loop {
                    let next = queue.lock().expect("no lane panics").pop_front();
                    let Some(wish) = next else { return };
                    let outcome = worker.run(task(wish, known)).and_then(|report| {
                        announce(&wish.class, &report.cases, known);
                        let (whole, kept) = &mut *whole.lock().expect("no lane panics");
                        kept.put(&wish.class, report.cases.clone())?;
                        whole.cases.extend(report.cases);
                        whole.refused.extend(report.refused);
                        Ok(())
                    });
                    match outcome {
                        Ok(()) => {}
                        Err(error) => {
                            *failure.lock().expect("no lane panics") = Some(error);
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().expect("no lane panics") {
        return Err(error);
    }
    let (whole, _) = whole.into_inner().expect("no lane panics");
    let report = again(whole, jvm, known)?;
    for wish in wishes {
        let of_class = report.cases.iter().filter(|case| case.class == wish.class);
        kept.put(&wish.class, of_class.cloned().collect())?;
    }
    Ok(report)
}

fn task<'a>(wish: &'a Wish, known: &Known) -> Task<'a> {
    let left_out = known.left_out(short(&wish.class));
    Task {
        class: &wish.class,
        methods: wish.methods.clone(),
        left_out,
    }
}

fn again(mut report: Report, jvm: &Jvm, known: &Known) -> Result<Report> {
    let mut failed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in &report.cases {
        let methods = failed.entry(case.class.clone()).or_default();
        let is_new = !methods.contains(&case.method);
        if is_new && matches!(judge(case, known), Verdict::Failed(_)) {
            methods.push(case.method.clone());
        }
    }
    failed.retain(|_, methods| !methods.is_empty());
    let mut worker = Worker::new(jvm);
    for (class, methods) in &failed {
        println!("once more: {} {}", short(class), methods.join(" "));
        let wish = Wish {
            class: class.clone(),
            methods: methods.join("|"),
        };
        let second = worker.run(task(&wish, known))?;
        announce(class, &second.cases, known);
        let is_repeated = |case: &Case| {
            let label = case.label();
            second.cases.iter().any(|other| other.label() == label)
        };
        report.cases.retain(|case| !is_repeated(case));
        report.cases.extend(second.cases);
    }
    Ok(report)
}

fn announce(class: &str, cases: &[Case], known: &Known) {
    let verdicts: Vec<_> = cases.iter().map(|case| judge(case, known)).collect();
    let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|v| wanted(v)).count();
    println!(
        "{:4} passed {:4} known {:4} FAILED {:6.1} s  {}",
        count(|verdict| *verdict == Verdict::Passed),
        count(|verdict| matches!(
            verdict,
            Verdict::Internals(_) | Verdict::Missing(_) | Verdict::Different(_)
        )),
        count(|verdict| matches!(verdict, Verdict::Failed(_))),
        cases.iter().map(|case| case.seconds).sum::<f64>(),
        class
    );
    for (case, verdict) in cases.iter().zip(verdicts) {
        if let Verdict::Failed(why) = verdict {
            println!("       {}: {why}", case.method);
        }
    }
}

#[test]
fn names_are_suites_classes_and_methods() {
    let suites = BTreeMap::from([("tools", vec!["a.OneTest".to_string(), "a.TwoTest".into()])]);
    let of = |names: &[&str], sample| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        wishes(&names, &suites, sample).map(|wishes| {
            let texts = wishes.iter().map(|w| format!("{}#{}", w.class, w.methods));
            texts.collect::<Vec<_>>().join(" ")
        })
    };
    assert_eq!(of(&["tools"], "").unwrap(), "a.OneTest# a.TwoTest#");
    assert_eq!(of(&["OneTest#x"], "").unwrap(), "a.OneTest#x");
    assert_eq!(of(&["sample"], "# words\nTwoTest").unwrap(), "a.TwoTest#");
    let error = of(&["NoTest"], "").unwrap_err().to_string();
    assert!(
        error.starts_with("no suite and no class is called NoTest"),
        "{error}"
    );
}
