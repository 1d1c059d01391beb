//! Playbooks in archives, as `flux push artifact` makes them: one document in plain files, and everything that is not.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use neuralops::domain::reason::Reason;
use tar::{Builder, EntryType, Header};

use crate::{
    made::{self, Key, p256, trusting},
    server::{No, Server, ask},
    shelf::{FLUX_LAYER, bundle},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        // As it stands: the builder would refuse some of these names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// The document of `made` as an author writes it.
fn yaml() -> Vec<u8> {
    let text = "\
apiVersion: neuralops.io/v1alpha1
kind: Playbook
metadata: {name: restart, namespace: shop}
spec:
  revision: 14
  serviceAccountName: runbook-shop
  steps:
  - name: tell
    notify: {message: Grüße}
";
    text.as_bytes().to_vec()
}

/// What is said of a signed artifact with this layer.
async fn answer(key: &Key, layer: &[u8]) -> Result<(), No> {
    let server = Server::start().await;
    let digest = {
        let mut inside = server.inside();
        let digest = inside.shelf.artifact(FLUX_LAYER, layer);
        inside.shelf.refer(&digest, &bundle(key, &digest));
        digest
    };
    let verified = ask(&server.image(&digest), &[trusting(&[key], 1)]).await?;
    assert_eq!(verified.document(), &made::document());
    let inline = made::document().digest().unwrap();
    assert_eq!(verified.digest(), &inline, "one document has one digest");
    Ok(())
}

const PLAIN: EntryType = EntryType::Regular;

#[tokio::test]
async fn one_document_in_plain_files_is_a_playbook() {
    let key = p256();
    let json = made::bytes(&made::document());
    for layer in [
        archive(&[("playbook.yaml", PLAIN, &yaml())]),
        archive(&[
            ("a/", EntryType::Directory, b""),
            ("a/b.yml", PLAIN, &yaml()),
        ]),
        archive(&[
            ("./playbook.json", PLAIN, &json),
            ("README.md", PLAIN, b"# words"),
        ]),
    ] {
        answer(&key, &layer).await.unwrap();
    }
}

#[tokio::test]
async fn everything_else_is_refused_under_its_own_reason() {
    let key = p256();
    let yaml = yaml();
    let two = [&yaml[..], b"---\n", &yaml[..]].concat();
    let anchors = b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let unsafe_ones = [
        gzip(&vec![0; 64 * 1024 * 1024]),
        archive(&[
            ("a.yaml", PLAIN, &yaml),
            ("b.yaml", EntryType::Symlink, b""),
        ]),
        archive(&[("a.yaml", EntryType::Link, b"")]),
        archive(&[("../a.yaml", PLAIN, &yaml)]),
        archive(&[("/a.yaml", PLAIN, &yaml)]),
        archive(&[("a.yaml", PLAIN, &yaml), ("a.yaml", PLAIN, &yaml)]),
        yaml.clone(),
    ];
    for layer in unsafe_ones {
        let no = answer(&key, &layer).await.unwrap_err();
        assert_eq!(no.reason(), Reason::UnsafeArchive, "{}", no.text());
    }
    for layer in [
        archive(&[("a.yaml", PLAIN, &yaml), ("b.yaml", PLAIN, &yaml)]),
        archive(&[("a.yaml", PLAIN, &two)]),
        archive(&[("README.md", PLAIN, b"# words")]),
        archive(&[("a.yaml", PLAIN, b"kind: Gate")]),
        archive(&[("a.yaml", PLAIN, b"{")]),
        archive(&[("a.yaml", PLAIN, anchors)]),
        archive(&[("a.yaml", PLAIN, b"kind: Playbook\nkind: Playbook\n")]),
        archive(&[("a.json", PLAIN, &yaml)]),
        archive(&[]),
    ] {
        let no = answer(&key, &layer).await.unwrap_err();
        assert_eq!(no.reason(), Reason::NotOnePlaybook, "{}", no.text());
    }
}

/// Whoever cannot sign cannot even make us look inside.
#[tokio::test]
async fn an_archive_that_nobody_trusts_is_not_unpacked() {
    let server = Server::start().await;
    let digest = {
        let mut inside = server.inside();
        let digest = inside.shelf.artifact(FLUX_LAYER, b"no archive at all");
        inside.shelf.refer(&digest, &bundle(&p256(), &digest));
        digest
    };
    let no = ask(&server.image(&digest), &[trusting(&[&p256()], 1)]).await;
    assert_eq!(no.unwrap_err().reason(), Reason::UntrustedKey);
}
