/**
 * Whether a `Cache-Status` header (RFC 9211) says that a cache answered: some member has the parameter
 * `hit`, bare or `?1`. A missing header is no hit.
 * @param {string | undefined} header
 */
export function isHit(header) {
  if (header === undefined) return false;
  const bare = header.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  return bare.split(",").some((member) =>
    member
      .split(";")
      .slice(1)
      .some((parameter) => /^hit(=\?1)?$/.test(parameter.trim())),
  );
}

/**
 * The value of a header whatever the case of its name.
 * @param {Record<string, string>} headers
 * @param {string} name
 */
export function headerOf(headers, name) {
  const wanted = name.toLowerCase();
  const key = Object.keys(headers).find((candidate) => candidate.toLowerCase() === wanted);
  return key === undefined ? undefined : headers[key];
}
