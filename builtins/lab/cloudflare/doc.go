// Package cloudflare is the lab's Cloudflare: the read half of its API v4, by which
// zones and an account are exported.
//
// Every request is checked against the vendor's schema, cut to what is served
// (schema.json.gz: paths, query parameters and types, extracted from cloudflare-go
// v7.9.0; the bulk settings from the OpenAPI file of 2024-08). Answers have the
// vendor's envelope, paging (pages with total_count, or cursors), error shapes and
// rate-limit headers. What is not served is 501 and says so.
//
// The state is JSON files in one folder, in the API's own shapes; they are read
// anew when they change:
//
//	tokens.json                    secret -> patterns of requests that it may not make
//	accounts.json, zones.json
//	zones/ID/NAME.json             dns_records, dnssec, dns_settings, settings, rulesets,
//	                               access_rules, pagerules
//	accounts/ID/NAME.json          rulesets, access_rules, lists, cfd_tunnel, routes,
//	                               virtual_networks
//	accounts/ID/items-LIST.json, configurations-TUNNEL.json
//
// The BIND export is printed from dns_records.json in the form of exports that
// people have published: absolute names, the owner of the SOA without its dot, the
// time of the export in the head, "; comment cf_tags=…" behind a record.
//
// Faults, On = "GET /zones/ID/dns_records" (path below /client/v4):
//
//	answer STATUS [TEXT]  an error in the vendor's envelope
//	bare STATUS TEXT      the same, "errors" being bare strings
//	limit [SECONDS]       429, with Retry-After when SECONDS is given
//	remaining N           the Ratelimit header says that N requests are left
//	garbage [TEXT]        200 with a page of HTML
//	cut-before, hang      no answer: the connection is cut; or nothing until the client leaves
//	slow D                the answer comes after D
//	empty                 a list without entries
//	endless               every page is full and names a next one
//	moving                total_count grows with every request
//	short                 the last entry of a list, or of the BIND export, is left out
//
// No client library of Cloudflare is used: a fake that shares code with its client
// would share its mistakes.
package cloudflare
