//! The manual lists the links that there are.

#[test]
fn the_manual_lists_every_link_as_the_code_has_it() {
    let manual = include_str!("../../docs/doctor.md");
    let table = punktfunk_doctor::table();
    assert!(manual.contains(&table), "docs/doctor.md must have this table:\n{table}");
}
