//! From the flags of each client command to what it was asked.

use super::args::{
    ApiResources, Apply, Change, Create, Delete, Describe, Diff, Edit, Explain, Files, Get, Manner, Modify, Patch,
    Replace, Scope, Selection, Targets, Wait,
};
use super::exit::{Code, Failure};
use super::format::Format;
use super::modify::{self, Changes, Pairs};
use super::pick::Pick;
use super::prune::Prune;
use super::resource::{self, Named};
use super::{api_resources, apply, connect, create, delete, describe, diff, edit, explain, get, jsonpath, manifests};
use super::{patch, wait};
use crate::model::selector::LabelSelector;

fn format(output: Option<&str>) -> Result<Format, Failure> {
    Format::parse(output, None)
}

/// `edgesvc-label`, unless the user says otherwise.
fn manager(given: Option<String>, verb: &str) -> String {
    given.unwrap_or_else(|| format!("{}-{verb}", apply::FIELD_MANAGER))
}

/// What the words behind a verb name, or what its files do.
fn things(words: &[String], files: &Files, scope: &Scope) -> Result<Vec<Named>, Failure> {
    if files.files.is_empty() && files.kustomize.is_none() {
        return resource::named(words);
    }
    let manifests = manifests::read(files, scope.namespace.as_deref())?;
    Ok(manifests.into_iter().map(manifests::Manifest::named).collect())
}

fn pick(words: &[String], targets: Targets) -> Result<Pick, Failure> {
    let things = things(words, &targets.files, &targets.scope)?;
    let Targets { scope, selection, all, .. } = targets;
    let Selection { selector, field_selector, all_namespaces } = selection;
    Ok(Pick { things, namespace: scope.namespace, all_namespaces, selector, field_selector, all })
}

/// Objects that can only be named.
fn by_name(words: &[String], files: Files, scope: Scope) -> Result<Pick, Failure> {
    let selection = Selection { selector: None, field_selector: None, all_namespaces: false };
    pick(words, Targets { files, scope, selection, all: false })
}

pub(super) async fn apply(args: Apply) -> Result<(), Failure> {
    let usage = |message: &str| Err(Failure::new(Code::Usage, message));
    if args.applyset.is_some() {
        return usage(
            "error: --applyset is not supported: it is an alpha of kubectl's that keeps the members of a set in an object of its own; use --prune with -l SELECTOR or --all",
        );
    }
    if args.server_side && args.change.dry_run == apply::DryRun::Client {
        return usage(
            "error: --dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
        );
    }
    if args.force_conflicts && !args.server_side {
        return usage(
            "error: --force-conflicts only works with --server-side; without it, apply takes over fields anyway",
        );
    }
    if args.show_dataplane && args.change.dry_run != apply::DryRun::Server {
        return usage("error: --show-dataplane only works with --dry-run=server");
    }
    let prune = prune(&args)?;
    let selector = selector(args.selector.as_deref())?;
    let options = apply::Options {
        show_dataplane: args.show_dataplane,
        format: format(args.change.output.as_deref())?,
        files: args.files,
        namespace: args.scope.namespace,
        dry_run: args.change.dry_run,
        server_side: args.server_side,
        force_conflicts: args.force_conflicts,
        field_manager: args.change.field_manager.unwrap_or_else(|| apply::FIELD_MANAGER.to_owned()),
        validation: args.validate.word(),
        selector,
        prune,
    };
    apply::apply(&args.server, options).await
}

/// `-l`, where the manifests are what is selected.
fn selector(text: Option<&str>) -> Result<Option<LabelSelector>, Failure> {
    let parsed = text.filter(|text| !text.is_empty()).map(|text| {
        let said =
            |why| format!("error: the provided selector {text:?} is not valid: unable to parse requirement: {why}");
        LabelSelector::parse(text).map_err(|why| Failure::new(Code::Usage, said(why)))
    });
    parsed.transpose()
}

/// `--prune` and what belongs to it.
fn prune(args: &Apply) -> Result<Option<Prune>, Failure> {
    let selector = args.selector.as_deref().filter(|text| !text.is_empty());
    if args.all && selector.is_some() {
        return Err(Failure::new(Code::Usage, "error: cannot set --all and --selector at the same time"));
    }
    let prune = args.prune.then(|| Prune::of(args.all, selector, &args.prune_allowlist, manner(&args.manner)));
    prune.transpose()
}

fn manner(args: &Manner) -> delete::Manner {
    let cascade = match args.cascade.as_str() {
        "foreground" => delete::Cascade::Foreground,
        "orphan" => delete::Cascade::Orphan,
        _ => delete::Cascade::Background,
    };
    // Negative means unsaid, as kubectl's default -1.
    delete::Manner { grace_seconds: args.grace_period.and_then(|seconds| u32::try_from(seconds).ok()), cascade }
}

pub(super) async fn create(args: Create) -> Result<(), Failure> {
    let options = made(args.files, args.scope, args.change, args.validate.word(), "create")?;
    if options.files.files.is_empty() && options.files.kustomize.is_none() {
        return create::by_words(&args.server, &args.words, &args.token, &options).await;
    }
    create::refuse_token_flags(&args.token)?;
    create::create(&args.server, &options).await
}

pub(super) async fn replace(args: Replace) -> Result<(), Failure> {
    let options = made(args.files, args.scope, args.change, args.validate.word(), "replace")?;
    create::replace(&args.server, &options, args.force).await
}

fn made(
    files: Files,
    scope: Scope,
    change: Change,
    validation: &'static str,
    verb: &str,
) -> Result<create::Options, Failure> {
    Ok(create::Options {
        files,
        namespace: scope.namespace,
        dry_run: change.dry_run,
        field_manager: manager(change.field_manager, verb),
        validation,
        format: format(change.output.as_deref())?,
    })
}

pub(super) async fn get(args: Get) -> Result<(), Failure> {
    if let Some(path) = &args.raw {
        return get::raw(&mut connect(&args.server).await?, path).await;
    }
    let things = things(&args.things, &args.files, &args.scope)?;
    let format = Format::parse(args.output.output.as_deref(), args.output.template.as_deref())?;
    let sort_by = args.sort_by.map(|path| match jsonpath::Template::relaxed(&path) {
        Ok(template) => Ok((template, path)),
        Err(error) => Err(Failure::new(Code::Usage, format!("error: {error}"))),
    });
    let sort_by = sort_by.transpose()?;
    let mut client = connect(&args.server).await?;
    let options = get::Options {
        things,
        namespace: args.scope.namespace.unwrap_or_else(|| client.namespace().to_owned()),
        all_namespaces: args.selection.all_namespaces,
        selector: args.selection.selector,
        field_selector: args.selection.field_selector,
        format,
        watch: match (args.watch, args.watch_only) {
            (_, true) => get::Watch::Only,
            (true, false) => get::Watch::AndList,
            (false, false) => get::Watch::No,
        },
        watch_events: args.output_watch_events,
        no_headers: args.no_headers,
        ignore_not_found: args.ignore_not_found,
        show_kind: args.show_kind,
        show_labels: args.show_labels,
        label_columns: args.label_columns,
        sort_by,
        subresource: args.subresource,
        managed_fields: args.output.show_managed_fields,
    };
    get::get(&mut client, &options).await
}

pub(super) async fn describe(args: Describe) -> Result<(), Failure> {
    let things = things(&args.things, &args.files, &args.scope)?;
    let mut client = connect(&args.server).await?;
    let options = describe::Options {
        things,
        namespace: args.scope.namespace.unwrap_or_else(|| client.namespace().to_owned()),
        all_namespaces: args.selection.all_namespaces,
        selector: args.selection.selector,
        field_selector: args.selection.field_selector,
        events: args.show_events,
    };
    describe::describe(&mut client, &options).await
}

pub(super) async fn modify(args: Modify, pairs: Pairs) -> Result<(), Failure> {
    let (names, changes) = Changes::part(&args.words, pairs)?;
    let verb = if pairs == Pairs::Labels { "label" } else { "annotate" };
    let options = modify::Options {
        pairs,
        pick: pick(&names, args.targets)?,
        changes,
        overwrite: args.overwrite,
        list: args.list,
        resource_version: args.resource_version,
        dry_run: args.change.dry_run,
        field_manager: manager(args.change.field_manager, verb),
        format: format(args.change.output.as_deref())?,
    };
    modify::modify(&mut connect(&args.server).await?, &options).await
}

pub(super) async fn patch(args: Patch) -> Result<(), Failure> {
    let options = patch::Options {
        pick: by_name(&args.things, args.files, args.scope)?,
        media_type: patch::media_type(&args.kind)?,
        body: patch::body(args.patch.as_deref(), args.patch_file.as_deref())?,
        subresource: args.subresource,
        dry_run: args.change.dry_run,
        field_manager: manager(args.change.field_manager, "patch"),
        format: format(args.change.output.as_deref())?,
    };
    patch::patch(&mut connect(&args.server).await?, &options).await
}

pub(super) async fn edit(args: Edit) -> Result<(), Failure> {
    let options = edit::Options {
        pick: by_name(&args.things, args.files, args.scope)?,
        subresource: args.subresource,
        field_manager: manager(args.field_manager, "edit"),
        json: args.output == "json",
        format: Format::Table,
    };
    edit::edit(&mut connect(&args.server).await?, &options).await
}

pub(super) async fn delete(args: Delete) -> Result<(), Failure> {
    let mut manner = manner(&args.manner);
    manner.grace_seconds = match (args.now, args.force) {
        (true, _) => Some(1),
        (false, true) => manner.grace_seconds.or(Some(0)),
        (false, false) => manner.grace_seconds,
    };
    let options = delete::Options {
        pick: pick(&args.things, args.targets)?,
        format: format(args.output.as_deref())?,
        ignore_not_found: args.ignore_not_found,
        wait: args.wait && !args.force,
        timeout: args.timeout,
        manner,
        forced: args.force,
        dry_run: args.dry_run,
    };
    delete::delete(&mut connect(&args.server).await?, &options).await
}

pub(super) async fn diff(args: Diff) -> Result<(), Failure> {
    let options = diff::Options {
        files: args.files,
        namespace: args.scope.namespace,
        field_manager: args.field_manager,
        managed_fields: args.show_managed_fields,
        server_side: args.server_side,
        force_conflicts: args.force_conflicts,
        selector: selector(args.selector.as_deref())?,
    };
    diff::diff(&args.server, &options).await
}

pub(super) async fn wait(args: Wait) -> Result<(), Failure> {
    let options = wait::Options {
        until: wait::Until::parse(&args.until)?,
        pick: pick(&args.things, args.targets)?,
        timeout: args.timeout,
        format: format(args.output.as_deref())?,
    };
    wait::wait(&args.server, &options).await
}

pub(super) async fn api_resources(args: ApiResources) -> Result<(), Failure> {
    let options = api_resources::Options {
        format: args.output.unwrap_or_default(),
        namespaced: args.namespaced,
        group: args.api_group,
        verbs: args.verbs,
        categories: args.categories,
        no_headers: args.no_headers,
        sort_by: args.sort_by.unwrap_or_default(),
    };
    api_resources::print(&mut connect(&args.server).await?, &options).await
}

pub(super) async fn explain(args: Explain) -> Result<(), Failure> {
    explain::explain(&mut connect(&args.server).await?, &args.path, args.recursive).await
}
