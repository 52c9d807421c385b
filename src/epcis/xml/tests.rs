use serde_json::json;

use super::*;

fn document(events: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><epcis:EPCISDocument xmlns:epcis=\"{CAPTURE}\" \
         xmlns:ext=\"http://e.example/\" schemaVersion=\"1.2\" \
         creationDate=\"2023-04-01T08:45:16Z\"><EPCISBody><EventList>{events}</EventList>\
         </EPCISBody></epcis:EPCISDocument>"
    )
}

fn shaped(event: &str) -> SourceEvent {
    read(document(event).as_bytes()).unwrap().remove(0)
}

#[test]
fn given_extensions_inside_extensions_when_shaped_then_they_open_into_the_event() {
    let event = shaped(
        "<extension><TransformationEvent><baseExtension><eventID>urn:uuid:1</eventID>\
         </baseExtension><inputEPCList><epc>a:1</epc></inputEPCList><outputQuantityList>\
         <quantityElement><epcClass>a:c</epcClass><quantity>2.5</quantity><uom>KGM</uom>\
         </quantityElement></outputQuantityList><extension><extension><bizStep>a:b</bizStep>\
         </extension></extension></TransformationEvent></extension>",
    );
    let expected = json!({
        "type": "TransformationEvent",
        "eventID": "urn:uuid:1",
        "inputEPCList": ["a:1"],
        "outputQuantityList": [{"epcClass": "a:c", "quantity": 2.5, "uom": "KGM"}],
        "bizStep": "a:b",
    });
    assert_eq!(Value::Object(event.members), expected);
    assert_eq!(event.refusal, None);
}

#[test]
fn given_elements_of_other_namespaces_when_shaped_then_prefixes_keep_their_meaning() {
    let event = shaped(
        "<ObjectEvent><ext:a><b>1</b><b>2 &lt; &#51;</b></ext:a>\
         <ext:a xmlns:ext=\"http://other.example/\"><![CDATA[x & y]]></ext:a>\
         <c xmlns=\"http://third.example/\"/></ObjectEvent>",
    );
    let expected = json!({
        "type": "ObjectEvent",
        "ext:a": {"b": ["1", "2 < 3"]},
        "ext2:a": "x & y",
        "ns:c": "",
    });
    assert_eq!(Value::Object(event.members), expected);
    let uris: Vec<_> = event.namespaces.values().map(String::as_str).collect();
    let expected = [
        "http://e.example/",
        "http://other.example/",
        "http://third.example/",
    ];
    assert_eq!(uris, expected);
}

#[test]
fn given_what_json_cannot_say_when_shaped_then_the_event_is_refused_and_not_bent() {
    for (event, what) in [
        (
            "<ObjectEvent><ext:a unit=\"x\">1</ext:a></ObjectEvent>",
            "attributes",
        ),
        (
            "<ObjectEvent><ext:a>1<b>2</b></ext:a></ObjectEvent>",
            "text beside its elements",
        ),
        (
            "<ObjectEvent><action x=\"1\">ADD</action></ObjectEvent>",
            "attributes",
        ),
    ] {
        let refusal = shaped(event).refusal;
        assert!(
            matches!(&refusal, Some(EventRefusal::XmlOnly { what: found, .. }) if *found == what),
            "{refusal:?}"
        );
    }
}

#[test]
fn given_xml_that_is_not_a_document_when_read_then_the_reason_is_told() {
    let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
    let good = document("");
    for (text, reason) in [
        ("<a>", "ends inside of the element a"),
        ("<a></b>", "expected"),
        ("<a/><b/>", "two root elements"),
        ("<a/>text", "text outside"),
        ("<?xml version=\"1.0\"?>", "no element"),
        ("<x:a/>", "bound to no namespace"),
        (
            "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
            "document type declaration",
        ),
        ("<a>&e;</a>", "entity"),
        (deep.as_str(), "deeper than 64"),
        ("<a/>", "root element"),
        (&good.replace("1.2", "2.0"), "schemaVersion"),
        (&good.replace("xsd:1", "xsd:2"), "root element"),
        (&good.replace("08:45:16Z", ""), "creationDate"),
        (&good.replace("EPCISBody", "Body"), "EPCISBody/EventList"),
    ] {
        let Err(error) = read(text.as_bytes()) else {
            panic!("{text} was read");
        };
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
    assert!(read(b"<a>\xff</a>").is_err());
}
