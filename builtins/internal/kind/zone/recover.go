package zone

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/format/zone"
)

// recoverZone writes the files and the bodies of the requests that bring the zone
// back, and says what differs from the live one, where that is given.
func recoverZone(ctx context.Context, j *kind.Job) error {
	c := &zoneChecker{}
	var raw []byte // of the records
	for _, f := range j.Artifact.Files {
		path, err := j.Write(ctx, f.Name)
		if err != nil {
			return err
		}
		if err := recheck(ctx, c, f.Name, path); err != nil {
			return err
		}
		if f.Name == RecordsFile {
			if raw, err = os.ReadFile(path); err != nil {
				return err
			}
		}
	}
	if err := c.End(); err != nil {
		return fmt.Errorf("open the zone: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	say(j, "export API=https://api.cloudflare.com/client/v4 AUTH=…   # a file of mode 0600 with the line \"Authorization: Bearer TOKEN\"")
	if j.Options.LiveZone != "" {
		var err error
		if list, err = live(j, ctx, c, list); err != nil {
			return err
		}
	} else {
		say(j, "to see first what differs: curl --fail-with-body -sS \"$API/zones/%s/dns_records?per_page=50000\" -H @\"$AUTH\" > live.json, "+
			"then the same command with --live live.json", kind.Safe(c.index.ID))
	}
	if err := zoneCalls(j, c, list); err != nil {
		return err
	}
	for _, m := range c.index.Missing {
		if strings.HasPrefix(m.Part, "record ") {
			say(j, "look at %s by hand: %s", kind.Safe(m.Part), kind.Safe(m.Why))
		}
	}
	elsewhere(j, c)
	return nil
}

func say(j *kind.Job, format string, args ...any) {
	j.Say = append(j.Say, fmt.Sprintf(format, args...))
}

// recheck parses a file that was written.
func recheck(ctx context.Context, c *zoneChecker, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.File(ctx, name, f)
}

// live compares with a live zone, and returns the records that it lacks.
func live(j *kind.Job, ctx context.Context, c *zoneChecker, list []json.RawMessage) ([]json.RawMessage, error) {
	now, exact, err := readLive(ctx, j.Options.LiveZone, c.index.Zone)
	if err != nil {
		return nil, fmt.Errorf("read the live zone: %w", err)
	}
	d := zone.Compare(now, c.records)
	if !exact {
		d = zone.Missing(now, c.records, c.index.Zone)
	}
	if d.Empty() {
		say(j, "the live zone holds the same records as this copy")
	} else {
		say(j, "from the live zone to this copy: %d records to add, %d that the copy does not have, %d changed", len(d.Added), len(d.Removed),
			len(d.Changed))
		j.Say = append(j.Say, d.Lines()...)
		say(j, "the requests below add what is missing; they remove and change nothing: do that by hand, line by line")
	}
	lacking := map[zone.Record]int{}
	for _, r := range d.Added {
		lacking[r]++
	}
	var out []json.RawMessage
	for _, raw := range list {
		r, err := zone.FromJSON(raw)
		if err != nil {
			return nil, err
		}
		if !exact {
			r = zone.Record{Name: r.Name, Type: r.Type, Data: r.Data, TTL: r.TTL}
		}
		if lacking[r] > 0 {
			lacking[r]--
			out = append(out, raw)
		}
	}
	return out, nil
}

// readLive reads BIND text, an array of records, or an answer of the API that holds
// all of them. exact says that it says what only Cloudflare knows.
func readLive(ctx context.Context, path, name string) (records []zone.Record, exact bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch head = bytes.TrimLeft(head, " \t\r\n"); {
	case bytes.HasPrefix(head, []byte("[")):
		records, err = zone.ParseJSON(ctx, in)
		return records, true, err
	case bytes.HasPrefix(head, []byte("{")):
		records, err = readAnswer(ctx, in)
		return records, true, err
	}
	records, err = zone.ParseBIND(ctx, in, name)
	return records, false, err
}

func readAnswer(ctx context.Context, r io.Reader) ([]zone.Record, error) {
	var a struct {
		Success bool            `json:"success"`
		Result  json.RawMessage `json:"result"`
		Info    struct {
			Total int `json:"total_count"`
		} `json:"result_info"`
	}
	if err := json.NewDecoder(io.LimitReader(r, zone.MaxBytes)).Decode(&a); err != nil {
		return nil, err
	}
	if !a.Success {
		return nil, errors.New("the answer of the API says that it failed")
	}
	records, err := zone.ParseJSON(ctx, bytes.NewReader(a.Result))
	if err == nil && len(records) < a.Info.Total {
		err = fmt.Errorf("it holds %d of %d records: fetch the other pages, too", len(records), a.Info.Total)
	}
	return records, err
}

// zoneCalls writes the bodies of requests, and says them in order.
func zoneCalls(j *kind.Job, c *zoneChecker, list []json.RawMessage) error {
	calls, err := cloudflare.RecordCalls(c.index.ID, list)
	if err != nil {
		return err
	}
	more, err := cloudflare.SettingCalls(c.index.ID, c.parts.DNSSettings, c.parts.Settings)
	if err != nil {
		return err
	}
	calls = append(calls, more...)
	lines, err := WriteCalls(filepath.Join(j.Into, "calls"), calls)
	if err != nil {
		return err
	}
	say(j, "to bring zone %s back at Cloudflare, with a token that may edit it (a zone that was made anew has another id: put it in):",
		c.index.Zone)
	j.Say = append(j.Say, lines...)
	if c.parts.DNSSEC != nil {
		say(j, "DNSSEC: its private keys cannot be exported. A zone that is made anew gets new ones: switch it on there, and put the new DS "+
			"record at the registrar")
	}
	return nil
}

// WriteCalls writes the bodies of requests into a new folder and returns the
// commands that send them, in order.
func WriteCalls(dir string, calls []cloudflare.Call) ([]string, error) {
	var lines []string
	for i, c := range calls {
		file := filepath.Join(dir, fmt.Sprintf("%03d.json", i+1))
		if c.Body != nil {
			if err := kind.WriteFile(file, bytes.NewReader(c.Body)); err != nil {
				return nil, err
			}
		}
		lines = append(lines, c.Line(kind.Quote(file))+"   # "+c.Why)
	}
	return lines, nil
}

// elsewhere says how the zone is served by another DNS server.
func elsewhere(j *kind.Job, c *zoneChecker) {
	if !c.seen[BINDFile] {
		say(j, "%s is not in this copy: make it from %s for another DNS server", BINDFile, RecordsFile)
		return
	}
	bind := kind.Quote(filepath.Join(j.Into, BINDFile))
	say(j, "to serve it by another DNS server: sed -E 's/^([^;\\t]+\\t)1\\tIN\\t/\\1300\\tIN\\t/' %s > zone.portable (a TTL of 1 is "+
		"Cloudflare's \"auto\"), replace SOA and NS by that server's, named-checkzone %s zone.portable", bind,
		kind.Quote(strings.TrimSuffix(c.index.Zone, ".")))
	var shown []string
	for _, r := range c.records {
		if r.Proxied && !slices.Contains(shown, r.Name) {
			shown = append(shown, r.Name)
		}
	}
	if len(shown) > 0 {
		say(j, "there, %d names that Cloudflare stands in front of (%s) show the addresses of their origins to everybody", len(shown),
			strings.Join(shown[:min(5, len(shown))], ", "))
	}
}
