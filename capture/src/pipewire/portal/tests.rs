//! Answers as they are read; [`fake`] asks a portal of our own.

mod fake;

use super::*;
use proptest::prelude::*;

fn response<B: serde::Serialize + zbus::DynamicType>(body: &B) -> Result<Results, Diagnosis> {
    let message = Message::signal("/a", "org.freedesktop.portal.Request", "Response").build(body);
    parse_response(&message.unwrap())
}

#[test]
fn the_cursor_is_in_the_picture_where_it_can_be() {
    for (available, chosen) in [(7, CURSOR_EMBEDDED), (2, 2), (5, CURSOR_METADATA), (1, 0), (0, 0)] {
        assert_eq!(choose_cursor(available), chosen);
    }
}

#[test]
fn answers_are_read_and_refusals_name_who() {
    let size = Options::from([("size", Variant::from((1920_i32, 1080_i32)))]);
    let streams = Variant::from(vec![(57_u32, size)]);
    let good = Options::from([("streams", streams), ("restore_token", "abc".into()), ("new", 7_u64.into())]);
    let results = response(&(0_u32, good)).unwrap();
    assert_eq!(node_of(&results), Ok(57));
    assert_eq!(results.restore_token.as_deref(), Some("abc"));
    let session = Options::from([("session_handle", Variant::from("/s"))]);
    assert_eq!(response(&(0_u32, session)).unwrap().session_handle.as_deref(), Some("/s"));

    let empty = Options::new();
    let cancelled = response(&(1_u32, empty.clone())).unwrap_err();
    assert!(cancelled.to_string().contains("the person"), "{cancelled}");
    let ended = response(&(2_u32, empty.clone())).unwrap_err();
    assert!(ended.to_string().contains("portal"), "{ended}");
    assert!(node_of(&response(&(0_u32, empty)).unwrap()).is_err());
    let none = Options::from([("streams", Variant::from(Vec::<(u32, Options<'_>)>::new()))]);
    assert!(node_of(&response(&(0_u32, none)).unwrap()).is_err());
}

#[test]
fn answers_of_another_shape_are_refused() {
    assert!(response(&"text").is_err());
    assert!(response(&(0_i32, Options::new())).is_err());
    for odd in [Variant::from(7_u32), Variant::from("text"), Variant::from(vec![1_u32])] {
        assert!(response(&(0_u32, Options::from([("streams", odd.clone())]))).is_err(), "{odd:?}");
    }
    assert!(response(&(0_u32, Options::from([("restore_token", Variant::from(7_u32))]))).is_err());
}

proptest! {
    #[test]
    fn any_code_is_a_result_or_a_refusal(code: u32, name in "[a-z_]{1,20}", value: u64) {
        let refused = response(&(code, Options::from([(name.as_str(), Variant::from(value))]))).is_err();
        prop_assert!(code == 0 || refused);
    }
}
