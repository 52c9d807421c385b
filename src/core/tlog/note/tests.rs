use proptest::{collection::vec, prelude::*};

use super::*;

/// The example of Go's `sumdb/note`.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS_SECRET: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const LINE: &str = "— PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

/// A checkpoint of the Go checksum database, from the public service.
const GO_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const GO_NOTE: &str = "go.sum database tree\n31700353\n\
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n\n— sum.golang.org \
    Az3grnmrIUEDFqHzAElIQCPNoRFRAAdFo47fooyWKMHb89k11GJh5zHIfNCOBmwn/C3YI8oW9/C8DJ87F61QqspBYwM=\n";

fn peter() -> NoteVerifier {
    PETER.parse().unwrap()
}

fn peters_note() -> String {
    format!("{TEXT}\n{LINE}\n")
}

fn signer(name: &str, kind: KeyKind, seed: u8) -> NoteSigner {
    NoteSigner::new(KeyName::new(name).unwrap(), kind, &[seed; 32]).unwrap()
}

#[test]
fn example_note_is_verified_signed_and_written() {
    let note = Note::parse(peters_note().as_bytes()).unwrap();
    assert_eq!(note.text(), TEXT);
    let verified = note.verify(&[peter()]).unwrap();
    assert_eq!(verified.len(), 1);
    assert_eq!(verified[0].name.as_str(), "PeterNeumann");
    assert_eq!(verified[0].time, None);

    let signer = NoteSigner::from_secret_text(PETERS_SECRET).unwrap();
    assert_eq!(signer.sign_note(TEXT), Ok(note));
    assert_eq!(signer.sign_note(TEXT).unwrap().to_string(), peters_note());
}

#[test]
fn note_of_the_go_checksum_database_is_verified() {
    let key: NoteVerifier = GO_KEY.parse().unwrap();
    let note = Note::parse(GO_NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(&[peter(), key]).unwrap().len(), 1);
    assert_eq!(note.to_string(), GO_NOTE);
}

/// The example of c2sp.org/tlog-cosignature; its keys are not published.
#[test]
fn cosigned_example_is_read() {
    let text = "example.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3\
        b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_string(), text);
    let cosignature = note.signatures()[1].signature();
    assert_eq!(cosignature.len(), 72);
    assert_eq!(cosignature[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(note.verify(&[peter()]), Err(NoteError::NoTrustedSignature));
}

#[test]
fn key_texts_are_read_and_written() {
    assert_eq!(peter().to_string(), PETER);
    let signer = NoteSigner::from_secret_text(PETERS_SECRET).unwrap();
    assert_eq!(signer.to_secret_text().as_str(), PETERS_SECRET);
    assert_eq!(signer.verifier(), &peter());
    assert!(!format!("{signer:?}").contains(&format!("{:?}", [0x81, 0x0a, 0x14])));

    let witness = self::signer("w.example", KeyKind::CosignatureV1, 7);
    let again = NoteSigner::from_secret_text(&witness.to_secret_text()).unwrap();
    assert_eq!(again.verifier(), witness.verifier());
    let vkey = witness.verifier().to_string();
    assert_eq!(vkey.parse(), Ok(witness.verifier().clone()));

    // The key of a witness of the public network.
    let vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let verifier: NoteVerifier = vkey.parse().unwrap();
    assert_eq!(verifier.kind(), KeyKind::CosignatureV1);
    assert_eq!(verifier.to_string(), vkey);
}

#[test]
fn wrong_key_texts_are_refused() {
    let id = peter().key_id();
    let weak = BASE64.encode([[1].as_slice(), &[0; 32]].concat());
    let cases = [
        (String::new(), KeyError::VerifierForm),
        ("name+c74f20a3".into(), KeyError::VerifierForm),
        (PETER.replace("Peter", ""), KeyError::Id(id)),
        (PETER.replace("c74f20a3", "C74F20A3"), KeyError::Id(id)),
        (PETER.replace("c74f20a3", ""), KeyError::Id(id)),
        (
            PETER.replace("PeterNeumann", "a b"),
            KeyError::NameCharacter(' '),
        ),
        (PETER.replace("PeterNeumann", ""), KeyError::EmptyName),
        (PETER.replace("ARpc", "AhpC"), KeyError::Kind(2)),
        (PETER.replace("ARpc", "!!!!"), KeyError::Base64),
        (PETER.replace("10TW", ""), KeyError::Length(29)),
        (format!("{PETER}\n"), KeyError::Base64),
        (format!("name+00000000+{weak}"), KeyError::PublicKey),
        ("name+00000000+".into(), KeyError::Length(0)),
    ];
    for (text, error) in cases {
        let result = text.parse::<NoteVerifier>();
        // Another name has another id.
        if let (Err(KeyError::Id(_)), KeyError::Id(_)) = (&result, &error) {
            continue;
        }
        assert_eq!(result, Err(error), "{text}");
    }
    for text in ["", PETER, "PRIVATE+KEY+name", "PRIVATE+KEY+name+00000000"] {
        assert_eq!(
            NoteSigner::from_secret_text(text).unwrap_err(),
            KeyError::SignerForm
        );
    }
    let id = NoteSigner::from_secret_text(&PETERS_SECRET.replace("c74f", "c74e"));
    assert_eq!(id.unwrap_err(), KeyError::Id(peter().key_id()));
}

#[test]
fn names_have_no_spaces_plus_signs_or_control_characters() {
    for name in ["a", "example.com/log/2026", "名字", "c=d&e"] {
        assert!(KeyName::new(name).is_ok(), "{name}");
    }
    for name in ["a b", "a+b", "a\nb", "a\u{a0}b", "a\u{3000}b", "a\0b"] {
        assert!(
            matches!(KeyName::new(name), Err(KeyError::NameCharacter(_))),
            "{name:?}"
        );
    }
    assert_eq!(KeyName::new(""), Err(KeyError::EmptyName));
    assert_eq!(
        KeyName::new(&"a".repeat(4097)),
        Err(KeyError::LongName(4097))
    );
}

#[test]
fn every_other_note_is_refused() {
    let line_error = |reason| NoteError::SignatureLine { line: 1, reason };
    let cases = [
        ("".into(), NoteError::NoSeparator),
        (TEXT.into(), NoteError::NoSeparator),
        (format!("{TEXT}{LINE}\n"), NoteError::NoSeparator),
        (format!("\n{LINE}\n"), NoteError::NoSeparator),
        (format!("{TEXT}\n"), NoteError::Unsigned),
        (
            format!("{TEXT}\n{LINE}"),
            line_error(SignatureLineError::NoNewline),
        ),
        (
            format!("{TEXT}\r\n\r\n{LINE}\n"),
            NoteError::ControlCharacter('\r'),
        ),
        (
            format!("a\tb\n\n{LINE}\n"),
            NoteError::ControlCharacter('\t'),
        ),
        (
            peters_note().replace('—', "-"),
            line_error(SignatureLineError::Form),
        ),
        (
            peters_note().replace("— ", "—"),
            line_error(SignatureLineError::Form),
        ),
        ("t\n\n— name\n".into(), line_error(SignatureLineError::Form)),
        (
            "t\n\n—  x08go/Z=\n".into(),
            line_error(SignatureLineError::Name(KeyError::EmptyName)),
        ),
        (
            "t\n\n— a+b x08go/Z=\n".into(),
            line_error(SignatureLineError::Name(KeyError::NameCharacter('+'))),
        ),
        (
            peters_note().replace("AM=\n", "AM\n"),
            line_error(SignatureLineError::Base64),
        ),
        (
            peters_note().replace("AM=\n", "AN=\n"),
            line_error(SignatureLineError::Base64),
        ),
        (
            peters_note().replace("AM=\n", "AM= \n"),
            line_error(SignatureLineError::Base64),
        ),
        (
            "t\n\n— n AAA=\n".into(),
            line_error(SignatureLineError::TooShort(2)),
        ),
        (
            "t\n\n— n AAAAAA==\n".into(),
            line_error(SignatureLineError::TooShort(4)),
        ),
    ];
    for (text, error) in cases {
        assert_eq!(Note::parse(text.as_bytes()), Err(error), "{text:?}");
    }
    assert_eq!(
        Note::parse(b"\xff\n\n\xe2\x80\x94 n x\n"),
        Err(NoteError::NotUtf8)
    );
}

#[test]
fn limits_are_exact() {
    let note = |lines: usize| format!("{TEXT}\n{}", format!("{LINE}\n").repeat(lines));
    let most = Note::parse(note(MAX_SIGNATURES).as_bytes()).unwrap();
    assert_eq!(most.verify(&[peter()]).unwrap().len(), 1);
    let more = Note::parse(note(MAX_SIGNATURES + 1).as_bytes());
    assert_eq!(more, Err(NoteError::TooManySignatures));
    let signature = most.signatures()[0].clone();
    let mut full = most.clone();
    assert_eq!(
        full.add_signature(signature.clone()),
        Err(NoteError::TooManySignatures)
    );
    assert_eq!(full, most);

    let fixed = note(1).len() - TEXT.len();
    let text = |bytes: usize| format!("{}\n", "x".repeat(bytes - fixed - 1));
    let longest = Note::new(text(MAX_NOTE_BYTES), signature.clone()).unwrap();
    assert_eq!(
        Note::parse(longest.to_string().as_bytes()),
        Ok(longest.clone())
    );
    let error = NoteError::TooLong(MAX_NOTE_BYTES + 1);
    let longer = Note::new(text(MAX_NOTE_BYTES + 1), signature.clone());
    assert_eq!(longer, Err(error.clone()));
    assert_eq!(Note::parse(&vec![b'x'; MAX_NOTE_BYTES + 1]), Err(error));
    let mut grown = longest.clone();
    assert!(matches!(
        grown.add_signature(signature),
        Err(NoteError::TooLong(_))
    ));
    assert_eq!(grown, longest);

    // The prefix is 4 bytes, the name 1 and the space 1.
    let line = |base64: usize| format!("t\n\n— n {}\n", "A".repeat(base64));
    assert!(Note::parse(line(MAX_SIGNATURE_LINE_BYTES - 8).as_bytes()).is_ok());
    assert!(Note::parse(line(MAX_SIGNATURE_LINE_BYTES - 4).as_bytes()).is_err());
}

#[test]
fn text_may_have_empty_lines_at_any_place() {
    let signer = signer("n", KeyKind::Ed25519, 1);
    for text in ["\n", "\n\n", "a\n\nb\n", "a\n\n", "a\n\n— n AAAAAAAA\n"] {
        let note = signer.sign_note(text).unwrap();
        let again = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(again, note);
        assert!(again.verify(&[signer.verifier().clone()]).is_ok());
    }
    for text in ["", "a"] {
        assert_eq!(signer.sign(text), Err(SignError::Text(NoteError::TextEnd)));
    }
}

#[test]
fn signatures_of_other_keys_are_ignored() {
    let mut note = Note::parse(peters_note().as_bytes()).unwrap();
    // One with Peter's name and another id, one with Peter's id and another name.
    let other = signer("PeterNeumann", KeyKind::Ed25519, 9);
    note.add_signature(other.sign("something else\n").unwrap())
        .unwrap();
    let name = KeyName::new("Paul").unwrap();
    let same_id = NoteSignature::new(name, peter().key_id(), vec![1]);
    note.add_signature(same_id).unwrap();
    assert_eq!(note.verify(&[peter()]).unwrap().len(), 1);
    assert_eq!(note.verify(&[]), Err(NoteError::NoTrustedSignature));
}

#[test]
fn wrong_signature_of_a_trusted_key_spoils_the_note() {
    let other = signer("other", KeyKind::Ed25519, 9);
    let forged = peters_note().replace("don't", "do");
    let mut note = Note::parse(forged.as_bytes()).unwrap();
    note.add_signature(other.sign(note.text()).unwrap())
        .unwrap();
    let trusted = [other.verifier().clone(), peter()];
    let error = note.verify(&trusted).unwrap_err();
    let NoteError::BadSignature { name, source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        (name.as_str(), source),
        ("PeterNeumann", SignatureError::Mismatch)
    );
    assert!(note.verify(&trusted[..1]).is_ok());
}

#[test]
fn two_keys_under_one_name_and_id_are_refused() {
    let note = Note::parse(peters_note().as_bytes()).unwrap();
    assert_eq!(note.verify(&[peter(), peter()]).unwrap().len(), 1);
    let other = signer("other", KeyKind::Ed25519, 9);
    let colliding = other.verifier().clone().renamed(&peter());
    assert!(matches!(
        note.verify(&[peter(), colliding]),
        Err(NoteError::AmbiguousKey { .. })
    ));
}

#[test]
fn cosignature_commits_to_its_time_and_kind() {
    let witness = signer("w", KeyKind::CosignatureV1, 2);
    let time = PosixSeconds::new(1_679_315_147).unwrap();
    let signature = witness.cosign(TEXT, time).unwrap();
    let verifier = witness.verifier();
    let bytes = signature.signature().to_vec();
    assert_eq!(verifier.verify(TEXT, &bytes), Ok(Some(time)));

    // The message, written out from the specification.
    let message = format!("cosignature/v1\ntime 1679315147\n{TEXT}");
    let plain = NoteVerifier::new(
        KeyName::new("w").unwrap(),
        KeyKind::Ed25519,
        &verifier.public_key(),
    )
    .unwrap();
    assert_eq!(plain.verify(&message, &bytes[8..]), Ok(None));
    assert_ne!(plain.key_id(), verifier.key_id());

    let mut later = bytes.clone();
    later[7] ^= 1;
    assert_eq!(verifier.verify(TEXT, &later), Err(SignatureError::Mismatch));
    let mut endless = bytes.clone();
    endless[0] |= 0x80;
    assert_eq!(verifier.verify(TEXT, &endless), Err(SignatureError::Time));
    for length in [0, 7, 8, 64, 71] {
        let error = SignatureError::Length {
            expected: 72,
            actual: length,
        };
        assert_eq!(verifier.verify(TEXT, &bytes[..length]), Err(error));
    }
    assert!(matches!(witness.sign(TEXT), Err(SignError::Kind { .. })));
    let log = signer("l", KeyKind::Ed25519, 2);
    assert!(matches!(
        log.cosign(TEXT, time),
        Err(SignError::Kind { .. })
    ));
    assert_eq!(PosixSeconds::new(1 << 63), None);
    assert!(PosixSeconds::new((1 << 63) - 1).is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200), text: String) {
        let _ = Note::parse(&bytes);
        let _ = Note::parse(text.as_bytes());
        let _ = text.parse::<NoteVerifier>();
        let _ = NoteSigner::from_secret_text(&text);
    }

    #[test]
    fn changed_note_is_never_accepted_with_another_text(at in 0..200_usize, bit in 0..8) {
        let mut bytes = peters_note().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1_u8 << bit;
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert!(note.verify(&[peter()]).is_err());
        }
    }

    #[test]
    fn what_is_read_is_written_the_same(text in "[a—\n ]{0,6}\n\n(— [ab]{1,2} [AB]{8}\n){1,3}") {
        if let Ok(note) = Note::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text);
        }
    }
}
