//! `config`, the command that both programs have.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::begin::Config;
use crate::failure::Failure;
use crate::fault::Faults;

/// What about the settings.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// What to do; without it they are shown.
    #[command(subcommand)]
    pub verb: Option<ConfigVerb>,
    /// JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do about settings.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigVerb {
    /// Say everything that is wrong in a file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print a file in which every setting stands as a comment.
    Example,
}

impl ConfigArgs {
    /// What is to be printed; an example begins with these lines.
    ///
    /// # Errors
    /// The file that is to be checked is wrong.
    pub fn answer(&self, config: &Config, example_head: &str) -> Result<String, Failure<Faults>> {
        match &self.verb {
            None if self.json => Ok(format!("{:#}", config.resolved().to_json())),
            None => Ok(config.resolved().to_text()),
            Some(ConfigVerb::Example) => Ok(config.table().example(example_head).trim_end().to_owned()),
            Some(ConfigVerb::Check { file }) => match config.check(file) {
                Err(faults) => Err(Failure::beside(faults.to_json(), faults)),
                Ok(_) if self.json => Ok(Faults(Vec::new()).to_json().to_string()),
                Ok(_) => Ok(format!("{}: no fault", file.display())),
            },
        }
    }
}
