//! Who may ask.
//!
//! Promises: before any route is reached, the `Host` is an address, `localhost` or a name of this host, so that a
//! name bound anew to this address reaches nothing; a request that a browser made for a page of another origin is
//! refused; a route of the API wants the token as a bearer, and wrong ones are counted by address: after five in a minute
//! the answer to another one is that there were too many, and nothing is logged of it. Every answer carries the headers
//! that keep a browser from framing, guessing or keeping it. Refuses cookies by never reading one.
//!
//! What it does not promise is that a sixth guess is not looked at: the right token is heard from everywhere, at any time.
//! Else a neighbour behind the same address, or any program of this machine, could keep the owner out with five wrong
//! words a minute; and guesses, however many, do not find one number of 2^256.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Extension;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::guests::Guest;
use crate::limits::{WRONG_ADDRESSES_MAX, WRONG_TOKENS_MAX, WRONG_TOKENS_WINDOW};
use crate::problem::Answer;
use crate::token::Token;

/// Everything comes from here and nothing else: no inline script or style, no frame, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// Who may ask what.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Token,
    /// This host's names, in small letters, those by multicast DNS among them.
    names: Vec<String>,
    wrong: Mutex<WrongTokens>,
}

impl Guard {
    pub(crate) fn new(token: Token, names: &[String]) -> Self {
        let local = |name: &str| format!("{}.local", name.split('.').next().unwrap_or(name));
        let mut own = vec!["localhost".to_owned()];
        for name in names.iter().filter(|name| !name.is_empty()) {
            let name = name.to_ascii_lowercase();
            own.push(local(&name));
            own.push(name);
        }
        Self { token, names: own, wrong: Mutex::default() }
    }

    /// Whether a browser could have been led here by somebody else.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let forbidden = |error: &str, remedy: &str| Answer::new(StatusCode::FORBIDDEN, error, remedy);
        let host = only(headers, header::HOST)
            .ok_or_else(|| forbidden("the request names no host, or several", "send one Host header"))?;
        if !self.is_own(host) {
            return Err(forbidden(
                "this host is not called that",
                &format!("use its address, or one of its names: {}", self.names.join(", ")),
            ));
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = only(headers, header::ORIGIN);
            if origin.and_then(|origin| origin.strip_prefix("https://")) != Some(host) {
                return Err(forbidden(
                    "the request was made for a page of another origin",
                    "use the console that this host serves, or a program that sends no Origin",
                ));
            }
        }
        let site = HeaderName::from_static("sec-fetch-site");
        if headers.contains_key(&site) && !matches!(only(headers, site), Some("same-origin" | "none")) {
            return Err(forbidden(
                "the request was made for a page of another site",
                "use the console that this host serves",
            ));
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) | None => host,
        };
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        literal.parse::<IpAddr>().is_ok() || self.names.contains(&name.to_ascii_lowercase())
    }

    fn check_token(&self, from: IpAddr, headers: &HeaderMap, now: Instant) -> Result<(), Answer> {
        let given = only(headers, header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        });
        let refused = |error: &str| {
            Answer::new(
                StatusCode::UNAUTHORIZED,
                error,
                "send what `punktfunk-host token` prints as a bearer token",
            )
        };
        // Nothing was guessed.
        let Some(given) = given else { return Err(refused("this wants the token")) };
        if self.token.is(given.as_bytes()) {
            return Ok(());
        }
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.is_shut_out(from, now) {
            return Err(Answer::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens came from this address",
                "send the right one, which `punktfunk-host token` prints",
            ));
        }
        wrong.note(from, now);
        tracing::warn!(%from, "a wrong token for the management API");
        Err(refused("this is not the token"))
    }
}

/// A header that came once and is text.
fn only(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

/// Wrong tokens by address, over the last minute.
#[derive(Debug, Default)]
struct WrongTokens {
    by_address: HashMap<IpAddr, (Instant, u32)>,
    /// Of those that have no place of their own.
    others: Option<(Instant, u32)>,
}

impl WrongTokens {
    fn is_shut_out(&mut self, from: IpAddr, now: Instant) -> bool {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= WRONG_TOKENS_WINDOW;
        self.by_address.retain(|_, (since, _)| !is_old(*since));
        self.others.take_if(|(since, _)| is_old(*since));
        let counted = match self.by_address.get(&from) {
            Some((_, count)) => *count,
            None if self.by_address.len() < WRONG_ADDRESSES_MAX => 0,
            None => self.others.map_or(0, |(_, count)| count),
        };
        counted >= WRONG_TOKENS_MAX
    }

    fn note(&mut self, from: IpAddr, now: Instant) {
        let has_place = self.by_address.contains_key(&from) || self.by_address.len() < WRONG_ADDRESSES_MAX;
        let counted = if has_place {
            self.by_address.entry(from).or_insert((now, 0))
        } else {
            self.others.get_or_insert((now, 0))
        };
        counted.1 += 1;
    }
}

/// Lets nothing through that a foreign page made, and dresses every answer.
pub(crate) async fn dress(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.check_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets through who has the token.
pub(crate) async fn admit(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Extension(guest): Extension<Arc<Guest>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.check_token(from.ip().to_canonical(), request.headers(), Instant::now()) {
        Ok(()) => {
            guest.handle_token();
            next.run(request).await
        }
        Err(refused) => {
            let mut response = refused.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer realm=\"punktfunk\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn guard() -> (Guard, Token) {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(dir.path()).unwrap();
        (Guard::new(token.clone(), &["Desk".to_owned()]), token)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_this_host_s_own_names_and_addresses_are_heard() {
        let (guard, _) = guard();
        for fine in [
            "127.0.0.1:47801",
            "[::1]:47801",
            "desk",
            "DESK:1",
            "localhost:47801",
            "192.168.1.2",
            "desk.local:47801",
            "Desk.Local",
        ] {
            assert!(guard.check_origin(&headers(&[("host", fine)])).is_ok(), "{fine}");
        }
        for evil in [
            "rebound.example:47801",
            "desk.example",
            "127.0.0.1.example",
            "",
            "[::1",
            "desk:47x",
            "other.local",
            "desk.local.example",
            "local",
            ".local",
        ] {
            let Answer(_, problem) = guard.check_origin(&headers(&[("host", evil)])).unwrap_err();
            assert!(!problem.remedy.contains("--"), "there is no such flag: {}", problem.remedy);
        }
        assert!(guard.check_origin(&HeaderMap::new()).is_err());
        let mut two = headers(&[("host", "desk")]);
        two.append(header::HOST, HeaderValue::from_static("rebound.example"));
        assert!(guard.check_origin(&two).is_err());
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let (guard, _) = guard();
        let with = |name: &'static str, value: &str| headers(&[("host", "desk:47801"), (name, value)]);
        assert!(guard.check_origin(&with("origin", "https://desk:47801")).is_ok());
        assert!(guard.check_origin(&with("sec-fetch-site", "same-origin")).is_ok());
        assert!(guard.check_origin(&with("sec-fetch-site", "none")).is_ok());
        for origin in [
            "http://desk:47801",
            "https://desk",
            "https://evil.example",
            "null",
            "https://desk:47801.example",
        ] {
            assert!(guard.check_origin(&with("origin", origin)).is_err(), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(guard.check_origin(&with("sec-fetch-site", site)).is_err(), "{site}");
        }
    }

    #[test]
    fn after_five_wrong_tokens_only_the_right_one_is_heard_for_the_minute() {
        let (guard, token) = guard();
        let (thief, owner) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([127, 0, 0, 1]));
        let wrong = headers(&[("authorization", &format!("Bearer {}", "0".repeat(64)))]);
        let right = headers(&[("authorization", &format!("bearer {}", token.reveal()))]);
        let start = Instant::now();
        let status = |from, headers: &HeaderMap, after| {
            guard
                .check_token(from, headers, start + Duration::from_secs(after))
                .err()
                .map(|refused| refused.0)
        };
        assert_eq!(status(thief, &HeaderMap::new(), 0), Some(StatusCode::UNAUTHORIZED), "not a guess");
        for second in 0..5 {
            assert_eq!(status(thief, &wrong, second), Some(StatusCode::UNAUTHORIZED), "guess {second}");
        }
        assert_eq!(status(thief, &wrong, 6), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(status(thief, &right, 6), None, "its owner may be at the same address");
        assert_eq!(
            status(thief, &wrong, 7),
            Some(StatusCode::TOO_MANY_REQUESTS),
            "the right one frees nobody"
        );
        assert_eq!(status(owner, &wrong, 7), Some(StatusCode::UNAUTHORIZED), "another address has its own");
        assert_eq!(status(thief, &wrong, 61), Some(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn a_thousand_addresses_take_no_more_memory_than_their_limit_and_share_what_is_left() {
        let mut wrong = WrongTokens::default();
        let now = Instant::now();
        for number in 0..1_000_u32 {
            wrong.note(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(wrong.by_address.len(), WRONG_ADDRESSES_MAX);
        assert!(wrong.is_shut_out(IpAddr::from([10, 0, 0, 1]), now));
        assert!(!wrong.is_shut_out(IpAddr::from([10, 0, 0, 1]), now + WRONG_TOKENS_WINDOW));
    }

    #[test]
    fn other_schemes_and_two_tokens_are_no_token() {
        let (guard, token) = guard();
        let from = IpAddr::from([127, 0, 0, 1]);
        let right = format!("Bearer {}", token.reveal());
        for value in [&format!("Basic {}", token.reveal()), token.reveal(), "Bearer", ""] {
            let given = headers(&[("authorization", value)]);
            assert!(guard.check_token(from, &given, Instant::now()).is_err(), "{value}");
        }
        let mut two = headers(&[("authorization", &right)]);
        two.append(header::AUTHORIZATION, right.parse().unwrap());
        assert!(guard.check_token(from, &two, Instant::now()).is_err());
    }
}
