//! Models behind an API: what is asked, how often, what is kept, and what never is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rise_lab::api::{ApiClient, ApiPolicy, ApiUsage, ChunkProgress, Endpoint};
use rise_lab::domain::{
    Dialogue, NoopObserver, Observer, Policy, PolicyError, PolicyRequest, SampledAttempt,
    SamplingConfig, Seed, StageEvent,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::misbehaving::{Reply, Server, answer};
use crate::support::{FILE, Lab};

const fn progress(done: usize, total: usize, chunk: usize) -> ChunkProgress {
    ChunkProgress { done, total, chunk }
}

/// A store's folder for one model.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn client(&self, endpoint: &Endpoint) -> ApiClient {
        ApiClient::open(
            endpoint,
            &self.0.path().join("answers"),
            &self.0.path().join("asked.json"),
        )
        .unwrap()
    }

    /// Puts so many questions.
    fn ask(&self, endpoint: &Endpoint, questions: u64) -> Result<Vec<SampledAttempt>, PolicyError> {
        let client = self.client(endpoint);
        let mut silent = NoopObserver;
        respond(
            &mut ApiPolicy::new(&client, &mut silent, progress(0, 1, 1), 1),
            questions,
        )
    }

    fn ledger(&self) -> ApiUsage {
        ApiUsage::load(&self.0.path().join("asked.json"))
    }

    /// Every file under the folder.
    fn files(&self) -> Vec<PathBuf> {
        list(self.0.path())
    }

    /// Answers in the cache.
    fn cached(&self) -> usize {
        self.files()
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .count()
            - usize::from(self.0.path().join("asked.json").exists())
    }

    /// The record of what was no answer.
    fn troubles(&self) -> Vec<Value> {
        let record = self
            .files()
            .into_iter()
            .find(|path| path.ends_with("troubles.jsonl"));
        let text = record.map_or_else(String::new, |path| fs::read_to_string(path).unwrap());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                list(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn respond(policy: &mut dyn Policy, questions: u64) -> Result<Vec<SampledAttempt>, PolicyError> {
    let request = |number: u64| {
        PolicyRequest::new(
            Dialogue::default().user(format!("{number} + 1?")),
            vec![Seed(number)],
        )
    };
    let requests: Vec<PolicyRequest> = (0..questions).map(request).collect();
    Ok(policy
        .respond(&requests, &SamplingConfig::default())?
        .concat())
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint {
        retries: 2,
        timeout: 10.0,
        ..Endpoint::new(server.url(), "m")
    }
}

#[test]
fn an_answer_is_asked_for_once_and_is_the_same_ever_after() {
    let (server, place) = (Server::always(Reply::good("#### 1")), Place::new());
    let first = place.ask(&endpoint(&server), 3).unwrap();
    let expected = SampledAttempt {
        text: "#### 1".to_owned(),
        tokens: 3,
        prompt_tokens: 12,
        finished: true,
    };
    assert_eq!(first, vec![expected; 3]);
    assert_eq!((server.calls(), place.cached()), (3, 3));
    let heard = server.heard().remove(0);
    assert!(
        heard
            .head
            .starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{}",
        heard.head
    );
    assert!(
        !heard.head.to_lowercase().contains("authorization"),
        "no key was named"
    );
    assert_eq!(heard.body["model"], "m");
    // The same questions from another process, and with another number of questions at a time.
    let patient = Endpoint {
        concurrency: 1,
        timeout: 3.0,
        ..endpoint(&server)
    };
    assert_eq!(place.ask(&patient, 3).unwrap(), first);
    assert_eq!(server.calls(), 3);
    let ledger = place.ledger();
    assert_eq!(
        (
            ledger.calls,
            ledger.cache_hits,
            ledger.prompt_tokens,
            ledger.completion_tokens
        ),
        (3, 3, 36, 9)
    );
    // Another model, and another temperature, are other answers.
    place
        .ask(
            &Endpoint {
                model: "n".to_owned(),
                ..endpoint(&server)
            },
            1,
        )
        .unwrap();
    assert_eq!(server.calls(), 4);
}

#[test]
fn a_server_is_left_alone_for_as_long_as_it_wishes() {
    let busy = Reply::Says(429, "Retry-After: 1\r\n", "{}".to_owned());
    let (server, place) = (Server::new([busy], Reply::good("#### 1")), Place::new());
    let begun = Instant::now();
    place.ask(&endpoint(&server), 1).unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let ledger = place.ledger();
    assert_eq!((server.calls(), ledger.calls, ledger.retries), (2, 2, 1));
    assert_eq!(place.troubles()[0]["status"], 429);
}

#[test]
fn faults_that_pass_are_tried_again() {
    let late = Reply::Late(Duration::from_secs(3), Box::new(Reply::good("too late")));
    for fault in [
        Reply::refuses(500, "no"),
        Reply::refuses(503, "no"),
        Reply::HangsUp,
        late,
    ] {
        let (server, place) = (
            Server::new([fault.clone()], Reply::good("#### 1")),
            Place::new(),
        );
        let answers = place
            .ask(
                &Endpoint {
                    timeout: 0.5,
                    ..endpoint(&server)
                },
                1,
            )
            .unwrap();
        assert_eq!(answers[0].text, "#### 1", "{fault:?}");
        assert_eq!(
            (server.calls(), place.cached(), place.troubles().len()),
            (2, 1, 1),
            "{fault:?}"
        );
    }
}

#[test]
fn what_only_looks_like_an_answer_is_recorded_and_never_kept() {
    let mut open = answer("#### 1");
    open["choices"][0]["finish_reason"] = Value::Null;
    let mut silent = answer("#### 1");
    silent["choices"][0]["message"]["content"] = Value::Null;
    let odd = [
        (
            Reply::refuses(200, "overloaded"),
            "the reply is an error: overloaded",
        ),
        (
            Reply::Says(200, "", json!({ "choices": [] }).to_string()),
            "the reply has no choice",
        ),
        (
            Reply::Says(200, "", silent.to_string()),
            "the answer has no content",
        ),
        (
            Reply::Says(200, "", open.to_string()),
            "the answer says no `finish_reason`, so it may be cut",
        ),
        (
            Reply::Says(200, "", "<html>".to_owned()),
            "the reply is not JSON",
        ),
        (
            Reply::Cut(answer("#### 1").to_string()),
            "the connection was closed before the reply was whole",
        ),
        (Reply::good("  "), "the answer is blank"),
    ];
    for (reply, said) in odd {
        let (server, place) = (Server::new([reply], Reply::good("#### 2")), Place::new());
        assert_eq!(place.ask(&endpoint(&server), 1).unwrap()[0].text, "#### 2");
        let troubles = place.troubles();
        assert_eq!(
            (server.calls(), place.cached(), troubles.len()),
            (2, 1, 1),
            "{said}"
        );
        assert_eq!(troubles[0]["said"], said);
        let seeds: Vec<Value> = server
            .heard()
            .iter()
            .map(|heard| heard.body["seed"].clone())
            .collect();
        assert_ne!(
            seeds[0], seeds[1],
            "with the same seed a server may say the same again"
        );
    }
}

#[test]
fn who_never_answers_is_given_up_with_a_word() {
    let (server, place) = (
        Server::always(Reply::refuses(200, "overloaded")),
        Place::new(),
    );
    let error = place
        .ask(
            &Endpoint {
                retries: 1,
                ..endpoint(&server)
            },
            1,
        )
        .unwrap_err()
        .to_string();
    let error = error
        .replace(&server.url(), "[url]")
        .replace(&place.0.path().display().to_string(), "[store]");
    let record = place
        .client(&endpoint(&server))
        .cache_folder()
        .join("troubles.jsonl");
    let name = record
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    insta::assert_snapshot!(error.replace(&name, "[model]"), @"`m` at [url]/chat/completions gave no answer in 2 tries, the last time because the reply is an error: overloaded; every try is in [store]/answers/[model]/troubles.jsonl; the same command goes on where this one ended");
    assert_eq!(
        (server.calls(), place.cached(), place.troubles().len()),
        (2, 0, 2)
    );
}

#[test]
fn what_does_not_pass_is_asked_once() {
    let spent = json!({ "error": { "message": "You are out.", "code": "insufficient_quota" } });
    let told: Vec<String> = [
        Reply::refuses(400, "max_tokens is too large"),
        Reply::refuses(404, "no such model"),
        Reply::Says(301, "Location: http://localhost:1/\r\n", String::new()),
        Reply::Says(403, "", "go away".to_owned()),
        Reply::Says(429, "", spent.to_string()),
        Reply::Says(429, "Retry-After: 7200\r\n", "{}".to_owned()),
    ]
    .into_iter()
    .map(|reply| {
        let (server, place) = (Server::always(reply), Place::new());
        // Of several questions only the first is put.
        let narrow = Endpoint {
            concurrency: 1,
            ..endpoint(&server)
        };
        let error = place.ask(&narrow, 5).unwrap_err().to_string();
        assert_eq!(
            (server.calls(), place.cached(), place.troubles().len()),
            (1, 0, 1)
        );
        error.replace(&server.url(), "[url]")
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"), @"
    `m` at [url]/chat/completions: the server answered with status 400: max_tokens is too large
    `m` at [url]/chat/completions: the server answered with status 404: no such model; look at `base_url` and `model`
    `m` at [url]/chat/completions: the server answered with status 301
    `m` at [url]/chat/completions: the server answered with status 403: go away; name the environment variable that holds its key in `key_env`
    `m` at [url]/chat/completions: the server answered with status 429: You are out.; there is no credit left
    `m` at [url]/chat/completions: the server answered with status 429: {}; it wants us to wait for 120 minutes, so try again then
    ");
}

#[test]
fn what_a_model_does_not_say_is_an_unfinished_attempt_that_is_never_kept() {
    let mut taken = answer("I");
    taken["choices"][0]["finish_reason"] = json!("content_filter");
    let mut nothing = taken.clone();
    nothing["choices"][0]["message"]["content"] = Value::Null;
    for (reply, text, said) in [
        (Reply::good(""), "", "the answer is blank"),
        (
            Reply::Says(200, "", taken.to_string()),
            "I",
            "a filter held the answer back",
        ),
        (
            Reply::Says(200, "", nothing.to_string()),
            "",
            "a filter held the answer back",
        ),
    ] {
        for retries in [0, 1] {
            let (server, place) = (Server::always(reply.clone()), Place::new());
            let patient = Endpoint {
                retries,
                ..endpoint(&server)
            };
            let left = place.ask(&patient, 1).unwrap();
            assert_eq!(
                (left[0].text.as_str(), left[0].finished),
                (text, false),
                "{said}"
            );
            let (troubles, calls) = (place.troubles(), retries as usize + 1);
            assert_eq!(
                (server.calls(), place.cached(), troubles.len()),
                (calls, 0, calls),
                "{said}"
            );
            assert!(
                troubles.iter().all(|trouble| trouble["said"] == said),
                "{troubles:?}"
            );
            assert_eq!(
                place.ledger().completion_tokens,
                3 * calls as u64,
                "what is read is paid for"
            );
            // Another time it is asked again.
            place.ask(&patient, 1).unwrap();
            assert_eq!(server.calls(), 2 * calls);
        }
    }
}

#[test]
fn an_answer_that_is_cut_at_the_limit_is_unfinished() {
    let mut long = answer("Let us see");
    long["choices"][0]["finish_reason"] = json!("length");
    let (server, place) = (
        Server::always(Reply::Says(200, "", long.to_string())),
        Place::new(),
    );
    assert!(!place.ask(&endpoint(&server), 1).unwrap()[0].finished);
    assert!(!place.ask(&endpoint(&server), 1).unwrap()[0].finished);
    assert_eq!((server.calls(), place.cached()), (1, 1));
}

#[test]
fn another_model_than_before_is_no_answer() {
    let mut other = answer("#### 1");
    other["model"] = json!("served-2");
    let swapped = Reply::Says(200, "", other.to_string());
    let (server, place) = (Server::new([Reply::good("#### 1")], swapped), Place::new());
    let narrow = Endpoint {
        concurrency: 1,
        retries: 1,
        ..endpoint(&server)
    };
    assert!(place.ask(&narrow, 1).is_ok());
    // Another process remembers.
    let error = place.ask(&narrow, 2).unwrap_err().to_string();
    assert!(
        error.contains("the model that answers is `served-2` and was `served-1` before"),
        "{error}"
    );
    assert_eq!(
        (server.calls(), place.cached(), place.troubles().len()),
        (3, 1, 2)
    );
}

#[test]
fn questions_are_put_several_at_a_time_and_no_more() {
    let slow = Reply::Late(Duration::from_millis(150), Box::new(Reply::good("#### 1")));
    let (server, place) = (Server::always(slow), Place::new());
    let begun = Instant::now();
    place
        .ask(
            &Endpoint {
                concurrency: 4,
                ..endpoint(&server)
            },
            12,
        )
        .unwrap();
    assert_eq!((server.calls(), server.most_open()), (12, 4));
    assert!(
        begun.elapsed() < Duration::from_millis(12 * 150),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn requests_a_minute_are_kept() {
    let (server, place) = (Server::always(Reply::good("#### 1")), Place::new());
    let begun = Instant::now();
    // Every 200 ms.
    place
        .ask(
            &Endpoint {
                requests_per_minute: Some(300),
                ..endpoint(&server)
            },
            5,
        )
        .unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(800),
        "{:?}",
        begun.elapsed()
    );
}

/// Asks for a stop as soon as it hears of progress.
#[derive(Default)]
struct Impatient(Vec<StageEvent>);

impl Observer for Impatient {
    fn on_event(&mut self, event: StageEvent) {
        self.0.push(event);
    }

    fn stop_requested(&self) -> bool {
        !self.0.is_empty()
    }
}

#[test]
fn a_stop_between_answers_keeps_those_that_came() {
    let slow = Reply::Late(Duration::from_millis(100), Box::new(Reply::good("#### 1")));
    let (server, place) = (Server::always(slow), Place::new());
    let narrow = Endpoint {
        concurrency: 2,
        ..endpoint(&server)
    };
    let (client, mut observer) = (place.client(&narrow), Impatient::default());
    let stopped = respond(
        &mut ApiPolicy::new(&client, &mut observer, progress(10, 100, 40), 40),
        40,
    );
    assert!(matches!(stopped, Err(PolicyError::Stopped)), "{stopped:?}");
    let kept = place.cached();
    assert!(
        (2..20).contains(&kept) && server.calls() == kept,
        "{kept} answers, {} calls",
        server.calls()
    );
    let StageEvent::Progress { done, total, .. } = &observer.0[0] else {
        panic!("{:?}", observer.0)
    };
    assert!((10..50).contains(done) && *total == 100);
    assert_eq!(place.ask(&narrow, 40).unwrap().len(), 40);
    assert_eq!(server.calls(), 40, "nothing is asked twice");
    assert_eq!(place.ledger().calls, 40);
}

/// A teacher at a server, as `--set` takes it.
fn teacher(server: &Server, more: &str) -> String {
    format!(
        "collect.teacher={{ openai = {{ base_url = \"{}\", model = \"m\"{more} }} }}",
        server.url()
    )
}

const KEY: &str = "sk-very-secret-0123456789";

/// The small experiment with a key in the environment.
fn sweep(lab: &Lab, settings: &[&str]) -> crate::support::Ran {
    let mut arguments = vec![
        "sweep", FILE, "--store", "store", "--format", "json", "--jobs", "2",
    ];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    lab.run_with(&[("RISE_LAB_TEST_KEY", KEY)], &arguments)
}

/// Files under a folder that hold the key.
fn leaks(lab: &Lab) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        fs::read(path)
            .unwrap()
            .windows(KEY.len())
            .any(|window| window == KEY.as_bytes())
    };
    list(&lab.path(".")).into_iter().filter(holds).collect()
}

#[test]
fn a_refused_key_fails_its_run_at_once_and_no_other_and_lands_nowhere() {
    let refusal = format!("Incorrect API key provided: {KEY}");
    let (server, lab) = (Server::always(Reply::refuses(401, &refusal)), Lab::new());
    let ran = sweep(
        &lab,
        &[&teacher(
            &server,
            ", key_env = \"RISE_LAB_TEST_KEY\", concurrency = 1",
        )],
    );
    ran.expect_exit(3);
    assert_eq!(server.calls(), 1, "a refusal is not tried again");
    let sent = &server.heard()[0].head;
    assert!(
        sent.to_lowercase()
            .contains(&format!("authorization: bearer {KEY}")),
        "{sent}"
    );
    // `sft` needs no teacher.
    let runs = lab.query("SELECT label, status FROM runs ORDER BY label");
    let of = |label: &str| {
        runs.iter()
            .find(|row| row[0].starts_with(label))
            .map(|row| row[1].as_str())
    };
    assert_eq!(
        (of("baseline"), of("method=sft")),
        (Some("failed"), Some("done")),
        "{runs:?}"
    );
    let failed = lab.query("SELECT error FROM stages WHERE status = 'failed'");
    let said = failed[0][0].replace(&server.url(), "[url]");
    insta::assert_snapshot!(said, @"`m` at [url]/chat/completions: the server answered with status 401: Incorrect API key provided: [key]; look at the key in the environment variable `RISE_LAB_TEST_KEY`");
    assert_eq!(leaks(&lab), Vec::<PathBuf>::new());
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(KEY));
}

#[test]
fn a_teacher_at_a_server_teaches_and_is_paid_once() {
    let (server, lab) = (
        Server::always(Reply::good("It says so.\n#### 3")),
        Lab::new(),
    );
    let more = ", sees = \"dialogue\", key_env = \"RISE_LAB_TEST_KEY\", price = { input = 1.0, output = 10.0 }";
    sweep(&lab, &[&teacher(&server, more)]).expect_exit(0);
    let counts = lab
        .query("SELECT counts FROM stages WHERE kind = 'improve'")
        .remove(0)
        .remove(0);
    let counts: Value = serde_json::from_str(&counts).unwrap();
    let asked = counts["teacher_calls"].as_u64().unwrap();
    assert!(asked > 0 && server.calls() as u64 == asked, "{counts}");
    assert_eq!(counts["remote_calls"], asked);
    assert_eq!(counts["remote_prompt_tokens"], 12 * asked);
    let price = counts["remote_price"].as_f64().unwrap();
    assert!(
        (price - (12 + 3 * 10) as f64 * asked as f64 / 1e6).abs() < 1e-9,
        "{counts}"
    );
    assert_eq!(counts["remote_paid"], counts["remote_price"]);
    // The teacher sees the failed attempt and the retry text.
    let said: Vec<usize> = server
        .heard()
        .iter()
        .map(|heard| heard.body["messages"].as_array().unwrap().len())
        .collect();
    assert!(said.iter().all(|&messages| messages == 3), "{said:?}");
    let show = lab.on_store(&["show", "baseline seed=0"]).stdout;
    assert!(
        show.contains("API tokens") && show.contains("API price"),
        "{show}"
    );
    let report = fs::read_to_string(lab.path("reports/minirise/index.md")).unwrap();
    assert!(report.contains("API: price"));
    assert_eq!(leaks(&lab), Vec::<PathBuf>::new());
    // The same sweep on a new store with the old answers asks for nothing.
    crate::support::copy(&lab.path("store/answers"), &lab.path("answers"));
    fs::remove_dir_all(lab.path("store")).unwrap();
    crate::support::copy(&lab.path("answers"), &lab.path("store/answers"));
    sweep(&lab, &[&teacher(&server, more)]).expect_exit(0);
    assert_eq!(server.calls() as u64, asked);
    let counts = lab
        .query("SELECT counts FROM stages WHERE kind = 'improve'")
        .remove(0)
        .remove(0);
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(
        (
            counts["remote_calls"].as_u64(),
            counts["remote_cached"].as_u64()
        ),
        (Some(0), Some(asked))
    );
    assert_eq!(
        (
            counts["remote_price"].as_f64(),
            counts["remote_paid"].as_f64()
        ),
        (Some(price), Some(0.0))
    );
}

#[test]
fn rollouts_of_a_model_at_a_server_are_trained_on() {
    let (server, lab) = (Server::always(Reply::good("#### 3")), Lab::new());
    let rollouts = teacher(&server, "").replace("collect.teacher", "collect.rollouts");
    sweep(&lab, &[&rollouts]).expect_exit(0);
    assert_eq!(server.calls(), 30, "one own turn on each training problem");
    let heard = &server.heard()[0].body;
    assert_eq!(
        (heard["temperature"].as_f64(), heard["max_tokens"].as_u64()),
        (Some(1.0), Some(40))
    );
    let origin = lab
        .query("SELECT origin FROM stages WHERE kind = 'collect'")
        .remove(0)
        .remove(0);
    let origin: Value = serde_json::from_str(&origin).unwrap();
    assert_eq!(
        origin["asked"],
        json!({ "place": "local", "model": "m", "served": "served-1" })
    );
    let counts = lab
        .query("SELECT counts FROM stages WHERE kind = 'collect'")
        .remove(0)
        .remove(0);
    assert!(
        counts.contains("\"remote_completion_tokens\":90"),
        "{counts}"
    );
}

#[test]
fn a_plan_asks_nobody_and_says_what_is_missing() {
    let (server, lab) = (Server::always(Reply::good("#### 3")), Lab::new());
    let plan = |setting: &str| {
        lab.run(&[
            "plan", FILE, "--store", "store", "--format", "json", "--set", setting,
        ])
    };
    let fine = plan(&teacher(&server, ""));
    fine.expect_exit(0);
    // What changes no answer changes no key.
    let keys = |ran: &str| -> Vec<Value> {
        let plan: Value = serde_json::from_str(ran).unwrap();
        let key = |one: &Value| one["key"].clone();
        let stages = plan["stages"].as_array().unwrap().iter().map(key);
        stages
            .chain(plan["runs"].as_array().unwrap().iter().map(key))
            .collect()
    };
    let elsewhere = Server::always(Reply::HangsUp);
    let same = plan(&teacher(
        &elsewhere,
        ", concurrency = 2, timeout = 5, retries = 1, price = { input = 1, output = 1 }",
    ));
    assert_eq!(keys(&fine.stdout), keys(&same.stdout));
    for more in [
        ", temperature = 0.1",
        ", sees = \"dialogue\"",
        ", system = \"Hi.\"",
        ", max_tokens = 7",
    ] {
        assert_ne!(
            keys(&fine.stdout),
            keys(&plan(&teacher(&server, more)).stdout),
            "{more}"
        );
    }
    let refused = |setting: &str| {
        let ran = plan(setting);
        ran.expect_exit(2);
        ran.stderr
    };
    insta::assert_snapshot!(refused(r#"collect.teacher={ openai = { base_url = "localhost/v1", model = "m" } }"#), @r#"
    error: --set:1:43: `run.collect.teacher.openai.base_url`: `localhost/v1` is not a URL; write something like "http://localhost:8000/v1"
      |
    1 | collect.teacher = { openai = { base_url = "localhost/v1", model = "m" } }
      |                                           ^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(refused(r#"collect.teacher={ openai = { base_url = "http://localhost/v1", model = "m", temprature = 1 } }"#), @r#"
    error: --set:1:79: `run.collect.teacher.openai.temprature`: unknown field
      |
    1 | collect.teacher = { openai = { base_url = "http://localhost/v1", model = "m", temprature = 1 } }
      |                                                                               ^^^^^^^^^^
      = did you mean `temperature`?
      = valid here: `base_url`, `model`, `temperature`, `max_tokens`, `sees`, `system`, `send_seed`, `concurrency`, `timeout`, `retries`, `requests_per_minute`, `key_env`, `price`.
    "#);
    insta::assert_snapshot!(refused(r#"collect.rollouts={ openai = { base_url = "http://localhost/v1", model = "m", key_env = "RISE_LAB_NO_KEY" } }"#), @r#"
    error: run `baseline seed=0`: `collect.rollouts.openai`: the environment variable `RISE_LAB_NO_KEY` is not set; put the key into it
    "#);
    insta::assert_snapshot!(refused(r#"collect.rollouts={ openai = { base_url = "http://localhost/v1", model = "m", sees = "question" } }"#), @r#"
    error: --set:1:87: `run.collect.rollouts.openai.sees`: rollouts are always shown their own dialogue; only a teacher has `sees`
      |
    1 | collect.rollouts = { openai = { base_url = "http://localhost/v1", model = "m", sees = "question" } }
      |                                                                                       ^^^^^^^^^^
    "#);
    let hosted = "collect.teacher={ openai = { base_url = \"https://api.example.com/v1\", model = \"m\", key_env = \"RISE_LAB_NO_KEY\" } }";
    let missing = refused(hosted);
    let expected = if cfg!(feature = "https") {
        "RISE_LAB_NO_KEY` is not set"
    } else {
        "--features https"
    };
    assert!(missing.contains(expected), "{missing}");
    assert_eq!((server.calls(), elsewhere.calls()), (0, 0));
}
