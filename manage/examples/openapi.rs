//! Prints the document that describes the management API.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    print!("{}", punktfunk_manage::document());
}
