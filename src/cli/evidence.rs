//! `custody evidence`: what a court needs about a finding.

use std::path::PathBuf;

use clap::Args;

use super::{Done, Failure, Remote, TokenKey, could, output, read};
use crate::client::{Ledger, draft};
use crate::core::bundle::{Report, decode_entry, verify};
use crate::core::lang::Lang;
use crate::core::record::Record;
use crate::core::rules::{FindingKind, Rule};
use crate::core::wire;

/// Writes down what a court needs about a finding: a report in Chinese and in English, the unit
/// bundle, and how to verify it.
#[derive(Args, Debug)]
pub(crate) struct Evidence {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    key: TokenKey,
    /// Number of the finding, as `custody findings` lists it.
    finding: u64,
    /// Folder to write to; it must not be there yet.
    #[arg(short, long)]
    output: PathBuf,
    /// Verifier key of the log, or the file that holds it.
    #[arg(long)]
    trust: String,
}

/// Everything that the report says.
struct Facts {
    finding: wire::FindingRecord,
    rule: &'static Rule,
    record: Record,
    entry_time: u64,
    record_id: String,
    party: wire::Party,
    registered: u64,
    report: Report,
    log_key: String,
}

impl Evidence {
    pub(super) async fn run(self) -> Done {
        let verifier = read::verifier(&self.trust)?;
        let ledger = self.remote.connect_as(&self.key).await?;
        let finding = self.find(&ledger).await?;
        if finding.unit.is_empty() {
            return Err(Failure::No(
                "the finding is about a signer, not about a unit".into(),
            ));
        }
        let rule = FindingKind::from_number(finding.kind)
            .map(FindingKind::rule)
            .ok_or_else(|| Failure::No("a kind of finding that is not known here".into()))?;
        let request = wire::GetBundleRequest {
            unit: finding.unit.clone(),
        };
        let bundle = ledger
            .provenance()
            .get_bundle(request)
            .await?
            .into_inner()
            .bundle;
        let bundle = bundle.unwrap_or_default();
        let bytes = prost::Message::encode_to_vec(&bundle);
        let report = verify(&bytes, std::slice::from_ref(&verifier));
        if !report.passed() {
            return Err(Failure::No(
                "the ledger's bundle does not verify; keep it and report it".into(),
            ));
        }
        let entry = bundle
            .entries
            .iter()
            .find(|entry| entry.index == finding.log_index);
        let entry =
            entry.ok_or_else(|| Failure::No("the bundle lacks the finding's entry".into()))?;
        let entry = decode_entry(&entry.entry).map_err(Failure::No)?;
        let record = entry.record;
        let party = party(&ledger, &finding.party).await?;
        let request = wire::GetKeyRequest {
            id: record.key_id.0.to_vec(),
        };
        let key = ledger
            .registry()
            .get_key(request)
            .await?
            .into_inner()
            .key
            .unwrap_or_default();
        let facts = Facts {
            rule,
            entry_time: entry.time.0,
            record_id: entry.envelope.record_id().to_string(),
            party,
            registered: key.registered_at,
            report,
            log_key: verifier.to_string(),
            record,
            finding,
        };
        self.write(&facts, &bytes)
    }

    async fn find(&self, ledger: &Ledger) -> Result<wire::FindingRecord, Failure> {
        let request = wire::ListFindingsRequest {
            filter: None,
            page_size: 1,
            page_token: self.finding.to_string(),
        };
        let page = ledger
            .regulator()
            .list_findings(request)
            .await?
            .into_inner();
        page.findings
            .into_iter()
            .find(|finding| finding.sequence == self.finding)
            .ok_or_else(|| Failure::No(format!("there is no finding {}", self.finding)))
    }

    fn write(&self, facts: &Facts, bundle: &[u8]) -> Done {
        std::fs::create_dir(&self.output).map_err(could(self.output.display()))?;
        let json = draft::to_json("FindingRecord", &facts.finding)?;
        let files: [(&str, Vec<u8>); 5] = [
            ("report.zh.md", chinese(facts).into_bytes()),
            ("report.en.md", english(facts).into_bytes()),
            ("unit.bundle", bundle.to_vec()),
            ("log.vkey", format!("{}\n", facts.log_key).into_bytes()),
            ("finding.json", format!("{json:#}\n").into_bytes()),
        ];
        for (name, bytes) in files {
            let path = self.output.join(name);
            std::fs::write(&path, bytes).map_err(could(path.display()))?;
        }
        if self.remote.json {
            return output::json(&serde_json::json!({ "folder": self.output, "finding": json }));
        }
        output::line(format!(
            "{} at {} (entry {}): report.zh.md, report.en.md, unit.bundle, log.vkey and \
             finding.json are in {}",
            facts.rule.kind.name(),
            facts.finding.unit,
            facts.finding.log_index,
            self.output.display()
        ))
    }
}

async fn party(ledger: &Ledger, id: &str) -> Result<wire::Party, Failure> {
    if id.is_empty() {
        return Ok(wire::Party::default());
    }
    let request = wire::GetPartyRequest { id: id.to_owned() };
    Ok(ledger
        .registry()
        .get_party(request)
        .await?
        .into_inner()
        .party
        .unwrap_or_default())
}

fn list(entries: &[u64], none: &str) -> String {
    if entries.is_empty() {
        return none.to_owned();
    }
    let texts: Vec<String> = entries.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Text that a party chose, so that it can't play at being part of the report.
fn plain(text: &str) -> String {
    let escaped = |c: char| {
        matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|'
        )
    };
    text.chars()
        .flat_map(|c| escaped(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

fn checks(report: &Report) -> String {
    report
        .checks
        .iter()
        .map(|check| format!("- {}: {}\n", check.name, check.detail))
        .collect()
}

fn english(facts: &Facts) -> String {
    let f = &facts.finding;
    let buyer = "a buyer, by the key that the seller named";
    let who = if f.party.is_empty() {
        buyer.to_owned()
    } else {
        format!("{} ({})", plain(&facts.party.name), f.party)
    };
    format!(
        "# Finding {seq}: {kind}\n\n\
         | | |\n|---|---|\n\
         | Unit | {unit} |\n| Rule | {kind}: {meaning} |\n| Measured, limit | {measured}, {limit} |\n\
         | Record | {record_kind}, id {record_id} |\n| Log entry | {index} |\n\
         | Event time, as signed | {event} |\n| Time of the ledger | {time} |\n\
         | Place, as signed | {city} {region} |\n| Signed by | {who} |\n| Key | {key} |\n\
         | Key registered by entry | {registered} |\n| Party registered by entry | {party_at} |\n\
         | Party approved by entry | {approved} |\n| Proving entries | {evidence} |\n\
         | Status | {status} |\n\n\
         Next step: {next}\n\n\
         ## How to verify this\n\n\
         `unit.bundle` holds the entries with their proofs. With the program and the log's key, \
         which should come from the regulator and not from this folder:\n\n\
         ```\ncustody verify unit.bundle --trust {log_key}\n```\n\n\
         It needs no network and trusts nothing but that key. It checked, when this was written:\n\n\
         {checks}\n## What is not proven\n\n{caveats}",
        seq = f.sequence,
        kind = facts.rule.kind.name(),
        unit = f.unit,
        meaning = facts.rule.meaning(Lang::En),
        measured = f.measured,
        limit = f.limit,
        record_kind = facts.record.kind().name(),
        record_id = facts.record_id,
        index = f.log_index,
        event = facts.record.event_time,
        time = output::time(facts.entry_time),
        city = plain(&f.city),
        region = f.region,
        key = facts.record.key_id,
        registered = facts.registered,
        party_at = facts.party.registered_at,
        approved = facts.party.approved_at,
        evidence = list(&f.evidence, "this entry alone"),
        status = f
            .status()
            .as_str_name()
            .trim_start_matches("FINDING_STATUS_"),
        next = facts.rule.next_step(Lang::En),
        log_key = facts.log_key,
        checks = checks(&facts.report),
        caveats = facts
            .report
            .caveats
            .iter()
            .map(|c| format!("- {c}\n"))
            .collect::<String>(),
    )
}

fn chinese(facts: &Facts) -> String {
    let f = &facts.finding;
    let who = if f.party.is_empty() {
        "买家（使用卖家指定的密钥）".to_owned()
    } else {
        format!("{}（{}）", plain(&facts.party.name), f.party)
    };
    let status = match f.status() {
        wire::FindingStatus::Confirmed => "已确认",
        wire::FindingStatus::Dismissed => "已排除",
        wire::FindingStatus::Explained => "已说明",
        _ => "待处理",
    };
    format!(
        "# 发现 {seq}：{kind}\n\n\
         | 项目 | 内容 |\n|---|---|\n\
         | 追溯单元 | {unit} |\n| 规则 | {kind}：{meaning} |\n| 实测值、限值 | {measured}、{limit} |\n\
         | 记录 | {record_kind}，编号 {record_id} |\n| 日志条目 | {index} |\n\
         | 签名所载事件时间 | {event} |\n| 账本时间 | {time} |\n\
         | 签名所载地点 | {city} {region} |\n| 签名方 | {who} |\n| 密钥 | {key} |\n\
         | 密钥登记条目 | {registered} |\n| 主体登记条目 | {party_at} |\n\
         | 主体批准条目 | {approved} |\n| 证据条目 | {evidence} |\n| 状态 | {status} |\n\n\
         后续措施：{next}\n\n\
         ## 如何核验\n\n\
         `unit.bundle` 包含全部条目及其证明。请从监管机构（而非本文件夹）取得日志公钥，然后运行：\n\n\
         ```\ncustody verify unit.bundle --trust {log_key}\n```\n\n\
         核验无需联网，除该公钥外不信任任何一方。出具本报告时已通过以下检查：\n\n{checks}\n\
         ## 尚未证明的事项\n\n\
         - 完整性由运营方声明：运营方遗漏的记录，或日志规模 {size} 之后的记录，不会在此显示。\n\
         - 运营方遗漏的吊销、暂停资格、召回或暂停流通记录同样不会显示；买家所列内件是否属实亦未证明。\n\
         - 时间由运营方声明：该检查点尚无独立见证方联署。\n",
        seq = f.sequence,
        kind = facts.rule.kind.name(),
        unit = f.unit,
        meaning = facts.rule.meaning(Lang::Zh),
        measured = f.measured,
        limit = f.limit,
        record_kind = facts.record.kind().name(),
        record_id = facts.record_id,
        index = f.log_index,
        event = facts.record.event_time,
        time = output::time(facts.entry_time),
        city = plain(&f.city),
        region = f.region,
        key = facts.record.key_id,
        registered = facts.registered,
        party_at = facts.party.registered_at,
        approved = facts.party.approved_at,
        evidence = list(&f.evidence, "仅本条目"),
        next = facts.rule.next_step(Lang::Zh),
        log_key = facts.log_key,
        checks = checks(&facts.report),
        size = facts.report.log_size,
    )
}
