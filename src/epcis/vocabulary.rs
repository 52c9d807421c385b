//! The words of the Core Business Vocabulary, and the four ways in which they are written.
//!
//! CBV 2.0 sections 7.1 (business steps), 7.2 (dispositions), 7.3 (business transaction types),
//! 7.4 (source and destination types) and 7.5 (error reasons). EPCIS 2.0 JSON uses bare words,
//! linked data `https://ref.gs1.org/cbv/BizStep-...` or `cbv:BizStep-...`, and XML
//! `urn:epcglobal:cbv:bizstep:...`. They mean the same, so the ledger keeps the bare word. A
//! URI of anybody else is kept as it is: a word of ours at the end of it means nothing.

/// One of the vocabularies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// CBV 2.0 section 7.1.
    BizStep,
    /// CBV 2.0 section 7.2.
    Disposition,
    /// CBV 2.0 section 7.3.
    BusinessTransactionType,
    /// CBV 2.0 section 7.4.
    SourceDestinationType,
    /// CBV 2.0 section 7.5.
    ErrorReason,
}

const BIZ_STEPS: &[&str] = &[
    "accepting",
    "arriving",
    "assembling",
    "collecting",
    "commissioning",
    "consigning",
    "creating_class_instance",
    "cycle_counting",
    "decommissioning",
    "departing",
    "destroying",
    "disassembling",
    "dispensing",
    "encoding",
    "entering_exiting",
    "holding",
    "inspecting",
    "installing",
    "killing",
    "loading",
    "other",
    "packing",
    "picking",
    "receiving",
    "removing",
    "repackaging",
    "repairing",
    "replacing",
    "reserving",
    "retail_selling",
    "sampling",
    "sensor_reporting",
    "shipping",
    "staging_outbound",
    "stock_taking",
    "stocking",
    "storing",
    "transporting",
    "unloading",
    "unpacking",
    "void_shipping",
];

const DISPOSITIONS: &[&str] = &[
    "active",
    "available",
    "completeness_inferred",
    "completeness_verified",
    "conformant",
    "container_closed",
    "container_open",
    "damaged",
    "destroyed",
    "dispensed",
    "disposed",
    "encoded",
    "expired",
    "in_progress",
    "in_transit",
    "inactive",
    "mismatch_class",
    "mismatch_instance",
    "mismatch_quantity",
    "needs_replacement",
    "no_pedigree_match",
    "non_conformant",
    "non_sellable_other",
    "partially_dispensed",
    "recalled",
    "reserved",
    "retail_sold",
    "returned",
    "sellable_accessible",
    "sellable_not_accessible",
    "stolen",
    "unavailable",
    "unknown",
];

const TRANSACTION_TYPES: &[&str] = &[
    "bol",
    "cert",
    "desadv",
    "inv",
    "pedigree",
    "po",
    "poc",
    "prodorder",
    "recadv",
    "rma",
    "testprd",
    "testres",
    "upevt",
];

const SOURCE_DESTINATION_TYPES: &[&str] = &["location", "owning_party", "possessing_party"];

const ERROR_REASONS: &[&str] = &["did_not_occur", "incorrect_data"];

/// Namespace of the vocabulary as linked data.
const WEB: &str = "https://ref.gs1.org/cbv/";
/// The prefix that the EPCIS context gives to [`WEB`].
const CURIE: &str = "cbv:";
/// Namespace of the vocabulary in XML.
const URN: &str = "urn:epcglobal:cbv:";

impl Vocabulary {
    /// Its words, in order.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::BizStep => BIZ_STEPS,
            Self::Disposition => DISPOSITIONS,
            Self::BusinessTransactionType => TRANSACTION_TYPES,
            Self::SourceDestinationType => SOURCE_DESTINATION_TYPES,
            Self::ErrorReason => ERROR_REASONS,
        }
    }

    /// What stands before a word as linked data, and in a URN.
    const fn markers(self) -> (&'static str, &'static str) {
        match self {
            Self::BizStep => ("BizStep-", "bizstep:"),
            Self::Disposition => ("Disp-", "disp:"),
            Self::BusinessTransactionType => ("BTT-", "btt:"),
            Self::SourceDestinationType => ("SDT-", "sdt:"),
            Self::ErrorReason => ("ER-", "er:"),
        }
    }

    /// The bare word, or a URI that is not of the vocabulary as it is. `None` for a bare word
    /// that the vocabulary doesn't have, and for a new word in GS1's own namespace: only GS1
    /// may add one (CBV 2.0 section 6.1).
    #[must_use]
    pub fn normalise(self, text: &str) -> Option<String> {
        let (web, urn) = self.markers();
        let ours = text
            .strip_prefix(WEB)
            .or_else(|| text.strip_prefix(CURIE))
            .and_then(|rest| rest.strip_prefix(web))
            .or_else(|| text.strip_prefix(URN).and_then(|r| r.strip_prefix(urn)));
        let word = ours.unwrap_or(text);
        let known = self.words().contains(&word);
        (known || (ours.is_none() && is_uri(text))).then(|| word.to_owned())
    }
}

/// Whether the text has the shape of a URI or CURIE: a scheme, a colon, and something after it
/// without blanks (RFC 3986 section 3).
#[must_use]
pub fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        let mut bytes = scheme.bytes();
        let is_scheme = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
        is_scheme
            && !rest.is_empty()
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_the_four_spellings_of_a_word_when_normalised_then_they_are_one() {
        for text in [
            "shipping",
            "https://ref.gs1.org/cbv/BizStep-shipping",
            "cbv:BizStep-shipping",
            "urn:epcglobal:cbv:bizstep:shipping",
        ] {
            let word = Vocabulary::BizStep.normalise(text);
            assert_eq!(word.as_deref(), Some("shipping"), "{text}");
        }
        let word = Vocabulary::Disposition.normalise("urn:epcglobal:cbv:disp:in_transit");
        assert_eq!(word.as_deref(), Some("in_transit"));
    }

    #[test]
    fn given_a_foreign_uri_when_normalised_then_it_stays_as_it_is() {
        for text in [
            "https://example.com/bizStep/inspecting",
            "ext1:summarising_discharge",
            "cbv:my_own_step",
        ] {
            assert_eq!(Vocabulary::BizStep.normalise(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn given_a_word_that_gs1_did_not_define_when_normalised_then_there_is_none() {
        for text in [
            "transforming",
            "",
            "Shipping",
            "https://ref.gs1.org/cbv/BizStep-transforming",
            "urn:epcglobal:cbv:bizstep:transforming",
            "not a uri: at all",
        ] {
            assert_eq!(Vocabulary::BizStep.normalise(text), None, "{text}");
        }
    }

    #[test]
    fn given_each_vocabulary_then_its_words_are_in_order_and_each_once() {
        for (vocabulary, count) in [
            (Vocabulary::BizStep, 41),
            (Vocabulary::Disposition, 33),
            (Vocabulary::BusinessTransactionType, 13),
            (Vocabulary::SourceDestinationType, 3),
            (Vocabulary::ErrorReason, 2),
        ] {
            assert!(vocabulary.words().is_sorted_by(|a, b| a < b));
            assert_eq!(vocabulary.words().len(), count, "{vocabulary:?}");
        }
    }
}
