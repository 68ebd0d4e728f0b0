//! Changing host.toml, which people write: one value, and nothing else of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use anyhow::Context as _;
use mainstay_config::host::Ha;
use mainstay_os::remove_if_there;
use toml_edit::{DocumentMut, Item, Table, Value};

/// The same text with `enabled` of `[ha]` as it is to be, and whatever else is in it, comments and
/// empty lines, as it was.
pub(crate) fn with_ha(text: &str, ha: Ha) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("cannot read host.toml")?;
    let section = document.entry("ha").or_insert_with(|| Item::Table(Table::new()));
    let section = section.as_table_like_mut().context("[ha] is no table")?;
    let mut enabled = Value::from(ha == Ha::Enabled);
    if let Some(former) = section.get("enabled").and_then(Item::as_value) {
        // A comment behind it.
        *enabled.decor_mut() = former.decor().clone();
    }
    section.insert("enabled", Item::Value(enabled));
    Ok(document.to_string())
}

/// Puts a text into the place of a file, at once and with the same owner and permissions: whoever
/// reads it reads the one or the other.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let making = path.with_extension("toml.new");
    let attempt = || -> std::io::Result<()> {
        let status = fs::metadata(path)?;
        // What an earlier attempt left.
        remove_if_there(&making)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
        fchown(&file, Some(status.uid()), Some(status.gid()))?;
        file.set_permissions(status.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&making, path)?;
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    attempt().with_context(|| format!("cannot change {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_value_is_changed_and_nothing_else() {
        let cases = [
            ("run = \"/r\"  # here\n", "run = \"/r\"  # here\n\n[ha]\nenabled = false\n"),
            (
                "# what\n[ha]  # pair?\nenabled = true   # yes\n\n[pair]\n",
                "# what\n[ha]  # pair?\nenabled = false   # yes\n\n[pair]\n",
            ),
            ("[ha]\n\n[pair]\n", "[ha]\nenabled = false\n\n[pair]\n"),
            ("ha = { enabled = true }\n", "ha = { enabled = false }\n"),
            ("ha.enabled = true # so\n", "ha.enabled = false # so\n"),
            ("[ha]\nenabled = false\n", "[ha]\nenabled = false\n"),
        ];
        for (before, after) in cases {
            assert_eq!(with_ha(before, Ha::Disabled).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn the_sample_is_changed_and_changed_back() {
        let sample = include_str!("../../../../deploy/host.toml");
        let disabled = with_ha(sample, Ha::Disabled).unwrap();
        assert_eq!(mainstay_config::host::parse(&disabled).unwrap().ha, Ha::Disabled);
        assert_eq!(with_ha(&disabled, Ha::Enabled).unwrap(), sample);
    }

    #[test]
    fn a_file_keeps_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(directory.path().join("host.toml.new"), "left behind").unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
