// Package zone reads the two forms in which a DNS zone is kept, the text of BIND
// and the JSON records of Cloudflare, into one form in which they can be
// compared, and tells the difference of two sets of records.
//
// Its rule: two records are the same when every DNS server would answer the same
// for them. Names are lower case with a trailing dot, data takes the one
// spelling that it has after a trip through the wire format, the strings of a TXT
// are joined, and a TTL of 1 is Cloudflare's "auto". What only Cloudflare knows
// of a record (proxied, comment, tags, settings) does not count when its JSON is
// held against BIND text, and counts when two states are told apart.
//
// Cloudflare's own BIND text has two traits that matter: the owner of the SOA has
// no trailing dot, while all names are absolute, so the text is read with the
// root as its origin; and SOA and apex NS are in it, though they are in no list of
// records. Missing treats those so.
//
// Input is taken as hostile. $INCLUDE and $GENERATE are refused (one line of the
// latter makes 65535 records), the text and the number of records are bounded, and
// a record that cannot be packed into DNS wire format is an error.
//
// The text is read by miekg/dns, the library that the DNS servers written in Go
// use: it knows every type with its presentation form.
package zone

// Bounds of one zone.
const (
	MaxBytes   = 256 << 20 // of BIND text or JSON
	MaxRecords = 1_000_000
	MaxRecord  = 1 << 20 // bytes of one JSON record
)
