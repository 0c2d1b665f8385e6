// Package cloudflare reads zones and accounts at Cloudflare, completely or not at
// all: what the token does not see is reported as Missing, never left out in silence.
//
// Requests go through the service packages of cloudflare-go v7 (kept, the vendor's
// own), never through its root package, which takes minutes to compile; a test
// holds that. Its typed answers lose fields and its pagers ignore total_pages, so
// every call hands over the bytes of the answer, and paging is here: pages are
// counted against total_count, which must be the same on the first and the last
// page, and no entry may come twice. What it has no method for (all settings of a
// zone) or only in a package of ten megabytes (tunnels and their routes) is read by
// plain requests through the same http.Client.
//
// Under the library stands a round tripper that bounds answers, makes every status
// from 300 on an *Error with its Kind, and reads the Ratelimit header. Above it
// stand a limiter, which all sessions of a Client share (the vendor allows a token
// 1200 requests in 5 minutes and then blocks everything for 5 more), and retries:
// of 429, with Retry-After or without, of 5xx and of connections that broke. They
// wait on the clock of the run.
//
// What is read is kept in a stable order with sorted keys, and without the few
// fields that change while the state does not (seconds that are left, connections
// of a tunnel): two exports of one state are equal to the byte.
//
// Facts: the API's reference as cloudflare-go v7.9.0 has it, Cloudflare's pages on
// limits and on DNS import and export.
package cloudflare
