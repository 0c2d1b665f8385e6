package exportdns

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeEmpty = failure.Code{Name: "E_ZONE_EMPTY", Doc: "the zone has no records: what answers is not the zone that is protected"}
)
