// What there is to say of a cell and its record, as elements for the dialog.

function describe(key, id) {
  const cell = lookUp(data.cells, key) || {};
  const record = recordOf(id);
  const parts = [...sayValue(cell, record), ...sayRemarks(cell, record), ...sayRuns(cell)];
  if (record) parts.push(...sayRecord(record));
  if (cell.job) parts.push(...sayJob(record ? "Newer attempt" : "Job", cell.job));
  if (!record) return parts;
  return [...parts, ...sayJob("Job", record.job), ...saySection("Provenance", pairs(flat(record.provenance)))];
}

function titleOf(key, id) {
  const [, name, row, column] = /^(.*)\/(\d+)\/(\d+)$/s.exec(key || "") || [];
  const table = lookUp(data.tables, name);
  const seed = id && (lookUp(data.cells, opened && opened.from.key) || {}).runs?.find(([, run]) => run === id);
  if (table) return `${table.rows[row]}, ${table.columns[column]} (${table.title})`;
  const record = recordOf(id);
  const more = seed ? `, seed ${seed[0]}` : "";
  return record ? Object.values(record.cell).filter(Boolean).join(", ") + more : "Record";
}

function sayValue(cell, record) {
  const number = cell.value || (record ? String(record.value) : cell.change);
  const of = record || recordOf((cell.runs || [])[0]?.[1]);
  const text = number ? `${number} ${of ? of.unit : ""}` : cell.status || "";
  const facts = pairs([
    ["status", record ? record.status : cell.runs && cell.status],
    [cell.change ? "published change" : "published", cell.published],
    ["change from r = 0", cell.change],
    ["difference", cell.difference],
    ["unrounded", record && `${record.value} ${record.unit}`],
    ["file", record && `${data.runs}/records/${record.id}.json`],
  ]);
  return [make("p", text.trim(), { class: "value" }), facts];
}

// Of a mean its runs, each of which opens its own record.
function sayRuns(cell) {
  const list = make("ul");
  for (const [seed, id] of cell.runs || []) {
    const { value, unit } = recordOf(id);
    const item = make("li");
    item.append(make("button", `seed ${seed}: ${value} ${unit}`, { type: "button", class: "record", "data-record": id }));
    list.append(item);
  }
  return saySection(cell.change ? "From r = 0 to the mean over" : "Mean over", list);
}

function sayRemarks(cell, record) {
  const unsaid = (texts) => texts.filter((text) => !(cell.remark || "").includes(text));
  return [
    ...sayList(record || cell.runs ? "Remarks" : "Why", cell.remark ? [cell.remark] : []),
    ...sayList("Inferred", cell.inferred ? [cell.inferred] : []),
    ...sayList("Flags", record ? unsaid(record.flags) : []),
    ...sayList("Notes", record ? unsaid(record.notes) : []),
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

function sayJob(title, id) {
  const job = jobOf(id);
  if (!job) return saySection(title, pairs([["id", id]]));
  const holder = make("div");
  holder.append(pairs([
    ["id", job.id],
    ["kind", job.kind],
    ["state", job.state],
    ["says", job.text],
    ["nodes", job.nodes.join(", ")],
    ["started again", job.restarts === 1 ? "once" : job.restarts && `${job.restarts} times`],
  ]));
  for (const log of job.logs) {
    holder.append(make("p", `${data.runs}/${log.path} (task ${log.task})`, { class: "hint" }));
    holder.append(make("pre", log.text || "the page had no room for its end"));
  }
  if (job.more_logs) holder.append(make("p", `and ${job.more_logs} more log files`, { class: "hint" }));
  return saySection(title, holder);
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
