//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use nova_core::config::Config;

use crate::operator::{Admin, Database};
use crate::{doctor, operator, publish, serve};

/// Nova: a media-first streaming platform in one program.
#[derive(Debug, Parser)]
#[command(name = "nova", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve {
        #[command(flatten)]
        setup: Setup,
        /// Print the configuration in force, secrets masked, and exit.
        #[arg(long)]
        print_config: bool,
    },
    /// Publish a test picture, or a file, to an RTMP server.
    Publish {
        /// Where: rtmp://HOST:1935/live/KEY
        url: String,
        /// An FLV or MP4 file, played again and again.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check ports, clock and storage; one line each, with the fix.
    Doctor {
        #[command(flatten)]
        setup: Setup,
    },
    /// Accounts, jobs and the audit log.
    Admin {
        #[command(flatten)]
        setup: Setup,
        #[command(subcommand)]
        act: Admin,
    },
    /// The database.
    Db {
        #[command(flatten)]
        setup: Setup,
        #[command(subcommand)]
        act: Database,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Configuration file; ./nova.toml is read when it exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything Nova keeps.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// For development: loopback only, open publishing, human logs.
    #[arg(long)]
    pub(crate) dev: bool,
}

impl Setup {
    fn load(&self) -> anyhow::Result<Config> {
        let default = PathBuf::from("nova.toml");
        let file = self.config.clone().or_else(|| default.exists().then_some(default));
        // A variable that is not UTF-8 cannot be one of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut config = Config::load(file.as_deref(), environment, self.dev).context("configuration")?;
        if let Some(folder) = &self.data_dir {
            config.data_dir.clone_from(folder);
        }
        Ok(config)
    }
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve { setup, print_config } => {
            let config = setup.load()?;
            if print_config {
                std::io::stdout().write_all(config.to_masked_toml().as_bytes())?;
                return Ok(ExitCode::SUCCESS);
            }
            nova_core::telemetry::init_logs(setup.dev, &config.log);
            serve::run(config, setup.dev)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Publish { url, file } => {
            nova_core::telemetry::init_logs(true, "info");
            publish::run(&url, file.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { setup } => doctor::run(&setup.load()?),
        Command::Admin { setup, act } => {
            let config = setup.load()?;
            nova_core::telemetry::init_logs(true, "warn");
            operator::admin(&config, act)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Db { setup, act } => {
            let config = setup.load()?;
            nova_core::telemetry::init_logs(true, "warn");
            operator::database(&config, act)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
