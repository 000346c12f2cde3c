/** @typedef {{ id: string, email: string, cpf: string }} Entity */

/**
 * Read the CSV that `python -m load entities-csv` writes: columns `id,email,cpf`, in any order, others
 * ignored. Quoted fields are understood; a field does not span lines.
 * @param {string} text
 * @returns {Entity[]}
 */
export function parseEntities(text) {
  const [header, ...lines] = text.split(/\r?\n/).filter((line) => line !== "");
  const names = header === undefined ? [] : splitLine(header);
  const [id, email, cpf] = ["id", "email", "cpf"].map((name) => {
    const index = names.indexOf(name);
    if (index < 0) throw new Error(`the CSV has no column ${name}: expected id,email,cpf`);
    return index;
  });
  const entities = lines.map((line) => {
    const fields = splitLine(line);
    return { id: fields[id] ?? "", email: fields[email] ?? "", cpf: fields[cpf] ?? "" };
  });
  if (entities.length === 0) throw new Error("the CSV has no entities: generate some and export it again");
  return entities;
}

/**
 * @param {string} line
 * @returns {string[]}
 */
function splitLine(line) {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain : quoted.replaceAll('""', '"'),
  );
}
