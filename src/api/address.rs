//! Base URLs of servers, and whether a server is on the local network.

use std::net::IpAddr;

use ureq::http::Uri;

const CHAT: &str = "/chat/completions";

/// A base URL that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAddress {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Host name or address, in lower case and without port.
    pub host: String,
    /// Where questions go.
    pub chat_url: String,
}

impl ApiAddress {
    /// Reads a base URL such as `http://localhost:8000/v1`.
    ///
    /// # Errors
    /// The problem with it, which never repeats a URL that may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        const FORM: &str = "write something like \"http://localhost:8000/v1\"";
        if url.contains('@') {
            return Err(
                "a URL with a user or a password is not taken; put the key into an environment \
                        variable, and its name into `key_env`"
                    .to_owned(),
            );
        }
        // Behind the path there may be a key.
        let shown = url.split(['?', '#']).next().unwrap_or_default();
        let uri: Uri = url
            .parse()
            .map_err(|_| format!("`{shown}` is not a URL; {FORM}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => {
                return Err(format!(
                    "`{shown}` begins with neither `http://` nor `https://`; {FORM}"
                ));
            }
        };
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_lowercase();
        if host.is_empty() {
            return Err(format!("`{shown}` names no host; {FORM}"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(format!(
                "`{shown}` has more than a path behind it; {FORM}, and put a key into an environment variable, and its \
                 name into `key_env`"
            ));
        }
        let base = url.trim_end_matches('/');
        if base.ends_with(CHAT) {
            return Err(format!(
                "`{url}` is one call of the API; leave `{CHAT}` out"
            ));
        }
        Ok(Self {
            tls,
            host,
            chat_url: format!("{base}{CHAT}"),
        })
    }

    /// Whether the server is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip_address().is_some_and(|ip| ip.is_loopback())
    }

    /// Whether the server is this machine or one on the same network: a private address, or a name
    /// that only one's own network knows.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let private = match self.ip_address() {
            Some(IpAddr::V4(ip)) => ip.is_private() || ip.is_link_local(),
            Some(IpAddr::V6(ip)) => ip.is_unique_local() || ip.is_unicast_link_local(),
            None => {
                !self.host.contains('.')
                    || [".local", ".internal"]
                        .iter()
                        .any(|end| self.host.ends_with(end))
            }
        };
        self.is_loopback() || private
    }

    fn ip_address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_says_where_questions_go() {
        let address = ApiAddress::parse("https://API.example.com:8443/v1/").unwrap();
        assert_eq!(
            (address.tls, address.host.as_str()),
            (true, "api.example.com")
        );
        assert_eq!(
            address.chat_url,
            "https://API.example.com:8443/v1/chat/completions"
        );
        assert_eq!(
            ApiAddress::parse("http://[::1]:8000/v1").unwrap().host,
            "::1"
        );
    }

    #[test]
    fn what_is_no_base_url_is_told() {
        let told: Vec<String> = [
            "localhost:8000/v1",
            "ftp://localhost/v1",
            "not a url",
            "http://me:secret@host/v1",
            "http://localhost/v1/chat/completions",
            "http://localhost/v1?key=SECRET",
            "localhost/v1?key=SECRET",
            "ftp://localhost/v1?key=SECRET#SECRET",
        ]
        .iter()
        .map(|url| ApiAddress::parse(url).unwrap_err())
        .collect();
        assert!(
            !told.iter().any(|complaint| complaint.contains("SECRET")),
            "{told:?}"
        );
        insta::assert_snapshot!(told.join("\n"), @r#"
        `localhost:8000/v1` is not a URL; write something like "http://localhost:8000/v1"
        `ftp://localhost/v1` begins with neither `http://` nor `https://`; write something like "http://localhost:8000/v1"
        `not a url` is not a URL; write something like "http://localhost:8000/v1"
        a URL with a user or a password is not taken; put the key into an environment variable, and its name into `key_env`
        `http://localhost/v1/chat/completions` is one call of the API; leave `/chat/completions` out
        `http://localhost/v1` has more than a path behind it; write something like "http://localhost:8000/v1", and put a key into an environment variable, and its name into `key_env`
        `localhost/v1` is not a URL; write something like "http://localhost:8000/v1"
        `ftp://localhost/v1` begins with neither `http://` nor `https://`; write something like "http://localhost:8000/v1"
        "#);
    }

    #[test]
    fn ones_own_network_is_told_from_the_world() {
        let local = |host: &str| {
            ApiAddress::parse(&format!("http://{host}:8000/v1"))
                .unwrap()
                .is_local()
        };
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "10.1.2.3",
            "192.168.0.7",
            "node17",
            "gpu.local",
        ] {
            assert!(local(host), "{host}");
        }
        for host in [
            "api.openai.com",
            "8.8.8.8",
            "[2606:4700::1]",
            "172.32.0.1",
            "localhost.example.com",
        ] {
            assert!(!local(host), "{host}");
        }
    }
}
