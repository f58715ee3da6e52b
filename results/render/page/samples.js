// The raw samples of a record: lists of numbers with their smallest, middle and largest.

function saySamples(samples) {
  const holder = make("div");
  const plain = [];
  for (const [name, value] of Object.entries(samples)) {
    if (Array.isArray(value)) holder.append(...sayArray(name, value));
    else plain.push(...flat({ [name]: value }));
  }
  if (plain.length) holder.prepend(pairs(plain));
  return holder;
}

function sayArray(name, values) {
  if (values.length && values.every((value) => typeof value === "number")) {
    const said = `${name}: ${values.length} samples, min ${short(Math.min(...values))}, ` +
      `median ${short(median(values))}, max ${short(Math.max(...values))}`;
    return [make("p", said), make("pre", values.join(", "))];
  }
  const lines = values.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  return [make("p", `${name}: ${values.length}`), make("pre", lines.join("\n"))];
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function short(number) {
  return String(Number(number.toPrecision(5)));
}
