// What there is to say of a cell and its record, as elements for the dialog.

function describe(key, id) {
  const cell = lookUp(data.cells, key) || {};
  const record = recordOf(id);
  const job = jobOf(cell.job || (record && record.job));
  const parts = [sayValue(cell, record), ...sayRemarks(cell, record)];
  if (record) parts.push(...sayRecord(record));
  parts.push(...sayJob(job, record));
  if (record) parts.push(...saySection("Provenance", pairs(flat(record.provenance))));
  return parts.filter(Boolean);
}

function titleOf(key, id) {
  const [, name, row, column] = /^(.*)\/(\d+)\/(\d+)$/s.exec(key || "") || [];
  const table = lookUp(data.tables, name);
  return table ? `${table.rows[row]}, ${table.columns[column]} (${table.title})` : `Record ${id}`;
}

function sayValue(cell, record) {
  const holder = make("div");
  const text = cell.value || (record && String(record.value)) || cell.status || "";
  const unit = record && cell.value !== undefined ? ` ${record.unit}` : "";
  holder.append(make("p", `${text}${text === cell.status ? "" : unit}`, { class: "value" }));
  holder.append(pairs([
    ["status", record && record.status],
    ["published", cell.published],
    ["difference", cell.difference],
    ["unrounded", record && `${record.value} ${record.unit}`],
    ["file", record && `${data.runs}/records/${record.id}.json`],
  ]));
  return holder;
}

function sayRemarks(cell, record) {
  const flags = (record && record.flags) || [];
  const notes = (record && record.notes) || [];
  return [
    ...sayList(record ? "Remarks" : "Why", cell.remark ? [cell.remark] : []),
    ...sayList("Inferred", cell.inferred ? [cell.inferred] : []),
    ...sayList("Flags", flags),
    ...sayList("Notes", notes),
  ];
}

function sayRecord(record) {
  const skipped = record.skipped.map((item) => `${item.video}: ${item.reason}`);
  const whole = { ...record.cell, profile: record.profile, started: record.started, ended: record.ended };
  return [
    ...saySection("Cell", pairs(Object.entries(whole).filter(([, value]) => value !== ""))),
    ...saySection("Videos", pairs(Object.entries(record.counts))),
    ...saySection("Samples", saySamples(record.samples)),
    ...saySection("Settings", pairs(flat(record.settings))),
    ...sayList("Skipped videos", skipped),
  ];
}

function sayJob(job, record) {
  if (!job) return record ? saySection("Job", pairs([["id", record.job]])) : [];
  const holder = make("div");
  holder.append(pairs([
    ["id", job.id],
    ["kind", job.kind],
    ["state", job.state],
    ["says", job.text],
    ["nodes", job.nodes.join(", ")],
    ["started again", job.restarts ? `${job.restarts} times` : ""],
  ]));
  for (const log of job.logs) {
    holder.append(make("p", `${data.runs}/${log.path} (task ${log.task})`, { class: "hint" }));
    holder.append(make("pre", log.text || "the page had no room for its end"));
  }
  if (job.more_logs) holder.append(make("p", `and ${job.more_logs} more log files`, { class: "hint" }));
  return saySection("Job", holder);
}

function saySection(title, content) {
  return content && content.childNodes.length ? [make("h3", title), content] : [];
}

function sayList(title, texts) {
  const list = make("ul");
  list.append(...texts.map((text) => make("li", typeof text === "string" ? text : JSON.stringify(text))));
  return saySection(title, list);
}

function pairs(entries) {
  const list = make("dl");
  for (const [name, value] of entries) {
    if (value === undefined || value === null || value === "") continue;
    list.append(make("dt", name), make("dd", String(value)));
  }
  return list;
}

// Objects within objects as [dotted name, text]; lists as JSON.
function flat(object, before = "") {
  return Object.entries(object).flatMap(([name, value]) => {
    const key = before + name;
    if (value && typeof value === "object" && !Array.isArray(value)) return flat(value, `${key}.`);
    return [[key, typeof value === "object" && value !== null ? JSON.stringify(value) : value]];
  });
}
