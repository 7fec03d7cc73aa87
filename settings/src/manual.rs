//! Manual pages and completions, from the command line's own declaration.
//!
//! Promises: a page for the program and one for each of its commands; the program's page has its settings. Nothing is
//! kept in the tree that could grow old. Refuses nothing.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::table::Table;

/// The ways to complete a command line, and where Debian's packages keep what does.
const SHELLS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", ""),
    (Shell::Zsh, "zsh/vendor-completions", "_"),
    (Shell::Fish, "fish/vendor_completions.d", ""),
];

impl Table {
    /// Every manual page: its file's name, and its text in roff. `file` is where the settings usually are.
    ///
    /// # Errors
    /// A page cannot be put together.
    pub fn pages(&self, file: &str) -> io::Result<Vec<(String, String)>> {
        let mut command = self.command().clone().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        collect(&command, &mut pages)?;
        if let Some((_, program)) = pages.first_mut() {
            program.push_str(&self.manual(file));
        }
        Ok(pages)
    }

    /// What completes the command line in a shell.
    pub fn completions(&self, shell: Shell) -> String {
        let mut command = self.command().clone();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name, &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }

    /// Writes pages and completions as a package has them, under `share`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn install(&self, file: &str, share: &Path) -> io::Result<()> {
        let put = |folder: &str, name: &str, text: &str| {
            let folder = share.join(folder);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(name), text)
        };
        for (name, text) in self.pages(file)? {
            put("man/man1", &name, &text)?;
        }
        for (shell, folder, prefix) in SHELLS {
            let ending = if shell == Shell::Fish { ".fish" } else { "" };
            let name = format!("{prefix}{}{ending}", self.command().get_name());
            put(folder, &name, &self.completions(shell))?;
        }
        Ok(())
    }
}

fn collect(command: &Command, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    let man = Man::new(command.clone()).title(name);
    man.render(&mut text)?;
    pages.push((format!("{name}.1"), String::from_utf8_lossy(&text).into_owned()));
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| collect(below, pages))
}
