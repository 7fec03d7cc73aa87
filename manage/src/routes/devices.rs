//! Devices that may connect.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, patch};
use axum::{Json, Router};

use super::{Done, Outcome, Shared};
use crate::desk::{Ask, Refused, Why};
use crate::model::{Device, DeviceName, Problem};
use crate::problem::{Json as Body, Path};

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 64;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/devices", get(list))
        .route("/api/v1/devices/{fingerprint}", patch(rename).delete(revoke))
}

/// Every device that may connect.
#[utoipa::path(get, path = "/api/v1/devices", operation_id = "devices", tag = "devices", security(("bearer" = [])), responses(
    (status = 200, description = "The one paired first, first.", body = Vec<Device>),
))]
pub(super) async fn list(State(shared): State<Shared>) -> Outcome<Vec<Device>> {
    Ok(Json(shared.counter.ask(|reply| Ask::Devices { reply }).await?))
}

/// Gives a device another name.
#[utoipa::path(patch, path = "/api/v1/devices/{fingerprint}", tag = "devices", security(("bearer" = [])),
    params(("fingerprint" = String, Path, description = "64 hex digits.")), request_body = DeviceName, responses(
    (status = 200, description = "It has that name.", body = Device),
    (status = 404, description = "There is no such device.", body = Problem),
    (status = 422, description = "That fingerprint or name cannot be.", body = Problem),
))]
pub(super) async fn rename(
    State(shared): State<Shared>,
    Path(fingerprint): Path<String>,
    Body(name): Body<DeviceName>,
) -> Outcome<Device> {
    let (fingerprint, name) = (check_fingerprint(fingerprint)?, check_name(&name.name)?);
    Ok(Json(shared.counter.ask(|reply| Ask::RenameDevice { fingerprint, name, reply }).await?))
}

/// Takes a device's leave away; a session of it ends within a second.
#[utoipa::path(delete, path = "/api/v1/devices/{fingerprint}", tag = "devices", security(("bearer" = [])),
    params(("fingerprint" = String, Path, description = "64 hex digits.")), responses(
    (status = 204, description = "It may not connect any more."),
    (status = 404, description = "There is no such device.", body = Problem),
    (status = 409, description = "It is not paired any more; the host's command line lets it in.", body = Problem),
    (status = 422, description = "That fingerprint cannot be.", body = Problem),
))]
pub(super) async fn revoke(State(shared): State<Shared>, Path(fingerprint): Path<String>) -> Done {
    let fingerprint = check_fingerprint(fingerprint)?;
    shared.counter.ask(|reply| Ask::RevokeDevice { fingerprint, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_fingerprint(text: String) -> Result<String, Refused> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refused::new(Why::Invalid, "a fingerprint is 64 hex digits", "take it from the list of devices"))
}

/// A name without what could lead a reader astray: no control character, nothing that ends a line or turns it
/// round.
pub(super) fn check_name(text: &str) -> Result<String, Refused> {
    let is_plain = |letter: char| {
        !letter.is_control()
            && !matches!(letter,
                '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let name = text.trim();
    if !name.is_empty() && text.chars().count() <= NAME_CHARS_MAX && text.chars().all(is_plain) {
        return Ok(name.to_owned());
    }
    let error = format!("a name has 1 to {NAME_CHARS_MAX} printable characters");
    Err(Refused::new(Why::Invalid, error, "send another"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_can_be_read() {
        let long = "ü".repeat(NAME_CHARS_MAX);
        for (given, name) in [("TV", "TV"), (" Ada's \u{1f4fa} ", "Ada's \u{1f4fa}"), (&long, &long)] {
            assert_eq!(check_name(given).unwrap(), name);
        }
        let longer = format!("{long}x");
        for wrong in
            ["", " \u{2003}", "TV\n", "T\0V", "T\u{85}V", "T\u{202e}V", "T\u{2028}V", "T\u{2069}V", &longer]
        {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
