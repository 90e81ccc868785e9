//! A server that answers as a script says: rightly, wrongly, late or not at all.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status with more headers (each with its line's end) and a body.
    Says(u16, &'static str, String),
    /// The first half of a body, and then the end of the connection.
    Cut(String),
    /// The same as another reply, but after some time.
    Late(Duration, Box<Reply>),
    /// The end of the connection, without a word.
    HangsUp,
}

impl Reply {
    /// An answer as it should be.
    pub fn good(text: &str) -> Self {
        Self::Says(200, "", answer(text).to_string())
    }

    /// A status with a complaint.
    pub fn refuses(status: u16, complaint: &str) -> Self {
        Self::Says(
            status,
            "",
            json!({ "error": { "message": complaint } }).to_string(),
        )
    }
}

/// The body of an answer.
pub fn answer(text: &str) -> Value {
    json!({
        "model": "served-1",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 12, "completion_tokens": 3 },
    })
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The request line and the headers.
    pub head: String,
    /// The body.
    pub body: Value,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Reply>>,
    heard: Mutex<Vec<Heard>>,
    open: AtomicUsize,
    most: AtomicUsize,
}

/// A server on a port of its own. It lives as long as the test.
pub struct Server {
    state: Arc<State>,
    port: u16,
}

impl Server {
    /// Answers by the script, and after its end always the same.
    pub fn new(script: impl IntoIterator<Item = Reply>, always: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            script: Mutex::new(script.into_iter().collect()),
            ..State::default()
        });
        let (shared, then) = (Arc::clone(&state), always);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, always) = (Arc::clone(&shared), then.clone());
                thread::spawn(move || serve(&state, &always, &stream));
            }
        });
        Self { state, port }
    }

    /// Answers everything alike.
    pub fn always(reply: Reply) -> Self {
        Self::new([], reply)
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// What came so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.state.heard.lock().unwrap().clone()
    }

    /// How many requests came.
    pub fn calls(&self) -> usize {
        self.heard().len()
    }

    /// The most requests that were open at a time.
    pub fn most_open(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

fn serve(state: &State, always: &Reply, stream: &TcpStream) {
    let Some(heard) = hear(stream) else { return };
    state.heard.lock().unwrap().push(heard);
    state.most.fetch_max(
        state.open.fetch_add(1, Ordering::SeqCst) + 1,
        Ordering::SeqCst,
    );
    let next = state.script.lock().unwrap().pop_front();
    say(stream, &next.unwrap_or_else(|| always.clone()), state);
}

fn hear(stream: &TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(count) = line.to_lowercase().strip_prefix("content-length:") {
            length = count.trim().parse().ok()?;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Heard {
        head,
        body: serde_json::from_slice(&body).ok()?,
    })
}

/// The client may be gone, as it is after a time-out.
fn say(mut stream: &TcpStream, reply: &Reply, state: &State) {
    let head = |status: u16, more: &str, length: usize| {
        format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n"
        )
    };
    if let Reply::Late(time, then) = reply {
        thread::sleep(*time);
        return say(stream, then, state);
    }
    state.open.fetch_sub(1, Ordering::SeqCst);
    let _ = match reply {
        Reply::Says(status, more, body) => {
            stream.write_all((head(*status, more, body.len()) + body).as_bytes())
        }
        Reply::Cut(body) => {
            stream.write_all((head(200, "", body.len()) + &body[..body.len() / 2]).as_bytes())
        }
        Reply::Late(..) | Reply::HangsUp => Ok(()),
    };
}
