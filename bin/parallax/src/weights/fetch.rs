//! `parallax weights fetch`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use parallax_engine_spec::Published;
use parallax_hub::{Error, Kind, Model, Settings, fetch};
use parallax_process::Termination;

use super::folder::folder;
use super::names::{UNNAMED, named};
use super::progress::Teller;
use crate::cli::FetchArgs;
use crate::interruption::INTERRUPTED;

pub(super) fn main(args: &FetchArgs) -> ExitCode {
    let mut teller = Teller::new(args.json);
    match run(args, &mut teller) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            teller.interrupted();
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            teller.error(&format!("{error:#}"));
            ExitCode::from(match error.downcast_ref::<Error>().map(Error::kind) {
                Some(Kind::Settings) => 2,
                Some(Kind::Access) => 3,
                Some(Kind::Network) => 4,
                Some(Kind::Room) => 5,
                Some(Kind::Changed) => 6,
                Some(Kind::Other) | None => 1,
            })
        }
    }
}

fn run(args: &FetchArgs, teller: &mut Teller) -> Result<bool> {
    let mut settings = Settings::from_env(folder(args.dir.as_ref())?)?;
    settings.offline |= args.offline;
    settings.verify = args.verify;
    settings.tries = args.tries;
    let published = published(args);
    let models = selected(args, &published)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut termination = Termination::listen()?;
        teller.begin(&settings.dir);
        published.iter().for_each(|model| teller.licence(model));
        if args.names.is_empty() {
            teller.others();
        }
        let mut tell = |event| teller.tell(&event);
        let complete = tokio::select! {
            biased;
            () = termination.asked() => false,
            result = fetch(&settings, &models, &mut tell) => result.map(|()| true)?,
        };
        if complete {
            teller.completed(&settings.dir);
        }
        Ok(complete)
    })
}

/// What was asked for.
fn published(args: &FetchArgs) -> Vec<&'static Published> {
    let names = args.names.iter().map(String::as_str);
    if args.names.is_empty() { named([UNNAMED]) } else { named(names) }
}

/// The models, with what the options change of them.
fn selected(args: &FetchArgs, published: &[&Published]) -> Result<Vec<Model>> {
    let model = |model: &&Published| model_of(model);
    let mut models: Vec<Model> = published.iter().map(model).collect();
    let mut change = |options: &[String], set: fn(&mut Model, String)| -> Result<()> {
        for option in options {
            let (name, value) = option.split_once('=').unwrap_or((option.as_str(), ""));
            let known: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
            let Some(model) = models.iter_mut().find(|model| model.name == name) else {
                let known = known.join(", ");
                bail!("{option:?}: allowed is MODEL=.. with a model that is fetched: {known}");
            };
            set(model, value.to_owned());
        }
        Ok(())
    };
    change(&args.revision, |model, value| model.revision = Some(value))?;
    change(&args.repository, |model, value| *model = model.clone().from(value))?;
    Ok(models)
}

fn model_of(published: &Published) -> Model {
    let model = Model::new(published.name, published.repository, published.files);
    match published.pin {
        Some(pin) => model.pinned(pin.commit, pin.files),
        None => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_can_be_fetched() {
        for model in parallax_catalogue::models() {
            assert_eq!(model_of(model).check(), Ok(()));
        }
    }
}
