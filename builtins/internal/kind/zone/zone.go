// Package zone is the kind of DNS zones.
package zone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/format/strictjson"
	"github.com/neosofia/runner/builtins/internal/format/zone"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// Files of a zone. The records as JSON are the zone; the BIND text is its form for
// any other DNS server.
const (
	RecordsFile = "records.json" // Cloudflare's records, an array
	BINDFile    = "zone.bind"
	ObjectFile  = "zone.json"  // Parts
	IndexFile   = "index.json" // Index
)

// Index says what a zone's files hold.
type Index struct {
	Zone    string               `json:"zone"`
	ID      string               `json:"id"`      // Cloudflare's
	Account string               `json:"account"` // Cloudflare's id
	Records int                  `json:"records"`
	Missing []cloudflare.Missing `json:"missing"`
	Runner  string               `json:"runner"` // version that made it
}

// lacks reports that a part was not to be had.
func (x Index) lacks(part string) bool {
	for _, m := range x.Missing {
		if m.Part == part {
			return true
		}
	}
	return false
}

// gaps are the records that could not be read when the zone was exported.
func (x Index) gaps() (out []string) {
	for _, m := range x.Missing {
		if strings.HasPrefix(m.Part, "record ") {
			out = append(out, m.Part)
		}
	}
	return out
}

// Parts are what a zone is beside its records.
type Parts struct {
	Zone        json.RawMessage `json:"zone"`
	DNSSEC      json.RawMessage `json:"dnssec,omitempty"`
	DNSSettings json.RawMessage `json:"dns_settings,omitempty"`
	Settings    json.RawMessage `json:"settings,omitempty"`
}

const (
	maxZoneFile = 16 << 20 // of those that are not records
	maxChanges  = zone.MaxBytes
)

// Kind is a zone.
func Kind() kind.Kind {
	return kind.Kind{Name: "zone", Title: "a DNS zone", Keep: true, Open: func() target.Checker { return &zoneChecker{} },
		Recover: recoverZone, Commands: zoneCommands}
}

// zoneChecker parses both forms completely and holds them against each other.
type zoneChecker struct {
	records, bind []zone.Record
	seen          map[string]bool
	index         Index
	parts         Parts
}

// File implements target.Checker.
func (c *zoneChecker) File(ctx context.Context, name string, r io.Reader) (err error) {
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	c.seen[name] = true
	switch name {
	case RecordsFile:
		c.records, err = zone.ParseJSON(ctx, r)
	case BINDFile:
		c.bind, err = zone.ParseBIND(ctx, r, ".")
	case ObjectFile:
		err = strictjson.Read(r, maxZoneFile, &c.parts)
	case IndexFile:
		err = strictjson.Read(r, maxZoneFile, &c.index)
	case kind.ChangesFile:
		var n int64
		if n, err = io.Copy(io.Discard, io.LimitReader(r, maxChanges+1)); n > maxChanges {
			err = errors.New("it is too long")
		}
	default:
		err = errors.New("no file of a zone has that name")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return ctx.Err()
}

// End implements target.Checker.
func (c *zoneChecker) End() error {
	for _, name := range []string{RecordsFile, ObjectFile, IndexFile} {
		if !c.seen[name] {
			return fmt.Errorf("%s is missing", name)
		}
	}
	switch {
	case len(c.records) == 0:
		return errors.New("the zone has no records")
	case len(c.records) != c.index.Records:
		return fmt.Errorf("%s counts %d records, %s holds %d", IndexFile, c.index.Records, RecordsFile, len(c.records))
	case c.seen[BINDFile] == c.index.lacks("bind"):
		return fmt.Errorf("%s is there: %t; %s says that it is missing: %t", BINDFile, c.seen[BINDFile], IndexFile, c.index.lacks("bind"))
	}
	for part, raw := range map[string]json.RawMessage{"dnssec": c.parts.DNSSEC, "dns_settings": c.parts.DNSSettings,
		"settings": c.parts.Settings} {
		if (len(raw) > 0) == c.index.lacks(part) {
			return fmt.Errorf("%s and %s disagree on %s", ObjectFile, IndexFile, part)
		}
	}
	gaps := c.index.gaps()
	reported := map[string]int{}
	for _, part := range gaps {
		reported[part]++
	}
	for _, r := range c.records {
		if r.Unread == "" {
			continue
		}
		if reported[r.Part()]--; reported[r.Part()] < 0 {
			return fmt.Errorf("%s cannot be read (%s), and %s does not say so", r.Part(), r.Unread, IndexFile)
		}
	}
	if !c.seen[BINDFile] {
		return nil
	}
	if lines := zone.Missing(c.bind, c.records, c.index.Zone, gaps...).Lines(); len(lines) > 0 {
		return fmt.Errorf("%s and %s differ in %d records: %s", BINDFile, RecordsFile, len(lines), lines[0])
	}
	return nil
}

// zoneCommands are the vendor's own import, which adds and never removes.
func zoneCommands(a ledger.Artifact, dir string) []string {
	name := strings.TrimSuffix(a.Item, ".")
	return []string{
		`# at Cloudflare: AUTH is a file of mode 0600 with the line "Authorization: Bearer TOKEN", of a token that may edit DNS;`,
		`# ZONE is the zone's id: that of then is in ` + dir + "/" + IndexFile +
			`, a zone that was made anew has another. It takes 256 KiB at most, adds, and never removes:`,
		`curl --fail-with-body -sS -X POST "${API:-https://api.cloudflare.com/client/v4}/zones/${ZONE:?}/dns_records/import" -H @"${AUTH:?}" -F file=@` + dir + "/" + BINDFile,
		`# for another DNS server: replace SOA and NS, and each TTL of 1 by 300; then:`,
		`named-checkzone ` + kind.Quote(name) + " " + dir + "/" + BINDFile,
	}
}
