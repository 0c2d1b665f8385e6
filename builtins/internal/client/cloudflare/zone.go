package cloudflare

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudflare/cloudflare-go/v7/dns"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/zones"
	"github.com/neosofia/runner/builtins/internal/format/zone"
)

// Missing is a part that is not exported, with the reason: "403 Authentication
// error".
type Missing struct {
	Part string `json:"part"`
	Why  string `json:"why"`
}

// ZoneExport is all that is kept of one zone. JSON is canonical.
type ZoneExport struct {
	Name, ID, Account string
	Records           []json.RawMessage // by type, name, content
	BIND              []byte            // Cloudflare's own text, settled; nil when it is in Missing
	Zone              json.RawMessage   // the zone object
	DNSSEC            json.RawMessage   // nil when it is in Missing, like those that follow
	DNSSettings       json.RawMessage
	Settings          json.RawMessage // an array
	Missing           []Missing
}

// recordsPerPage is much below what the vendor allows; a smaller page that it may
// give is followed all the same.
const recordsPerPage = 1000

// Zone reads a zone. account is the id of the account that has it, "" when the
// token sees one zone of that name.
func (s *Session) Zone(ctx context.Context, name, account string) (ZoneExport, error) {
	x, err := s.find(ctx, name, account)
	if err != nil {
		return x, err
	}
	differed := "" // a difference that stays is none of time
	x, err = settled(ctx, s, "records of "+x.Name, func() (ZoneExport, error) { return s.records(ctx, x, &differed) })
	if err != nil {
		return x, err
	}
	d := dns.NewDNSService(s.c.opts...)
	for _, part := range []struct {
		name string
		into *json.RawMessage
		fn   call
	}{
		{"dnssec", &x.DNSSEC, library(func(ctx context.Context, opts ...option.RequestOption) (*dns.DNSSEC, error) {
			var p dns.DNSSECGetParams
			p.ZoneID.Value, p.ZoneID.Present = x.ID, true
			return d.DNSSEC.Get(ctx, p, opts...)
		})},
		{"dns_settings", &x.DNSSettings, library(func(ctx context.Context, opts ...option.RequestOption) (*dns.SettingZoneGetResponse, error) {
			var p dns.SettingZoneGetParams
			p.ZoneID.Value, p.ZoneID.Present = x.ID, true
			return d.Settings.Zone.Get(ctx, p, opts...)
		})},
	} {
		*part.into, err = s.object(ctx, part.fn)
		if err = x.without(part.name, err); err != nil {
			return x, err
		}
	}
	x.Settings, err = s.settings(ctx, x.ID)
	err = x.without("settings", err)
	slices.SortStableFunc(x.Missing, func(a, b Missing) int { return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Why, b.Why)) })
	return x, err
}

// without notes a part that is not to be had; other errors stay.
func (x *ZoneExport) without(part string, err error) error {
	why, ok := absent(err)
	if !ok {
		return err
	}
	x.Missing = append(x.Missing, Missing{part, why})
	return nil
}

// find looks a zone up by its name. One that is no ASCII is in Punycode here, and may
// be in either form there.
func (s *Session) find(ctx context.Context, name, account string) (ZoneExport, error) {
	x := ZoneExport{Name: zone.Name(name)}
	var list []json.RawMessage
	spellings := []string{x.Name}
	if people := zone.Unicode(x.Name); people != x.Name {
		spellings = append(spellings, people)
	}
	for _, spelling := range spellings {
		query := []string{"name", spelling}
		if account != "" {
			query = append(query, "account.id", account)
		}
		some, err := s.zones(ctx, query...)
		if err != nil {
			return x, err
		}
		list = append(list, some...)
	}
	return x.choose(list)
}

func (s *Session) zones(ctx context.Context, query ...string) ([]json.RawMessage, error) {
	z := zones.NewZoneService(s.c.opts...)
	return s.pages(ctx, "zones", 50, library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
		return z.List(ctx, zones.ZoneListParams{}, opts...)
	}), query...)
}

// Zones returns the names of the zones that the token sees, sorted; account "" is all
// accounts.
func (s *Session) Zones(ctx context.Context, account string) (names []string, err error) {
	var query []string
	if account != "" {
		query = []string{"account.id", account}
	}
	list, err := s.zones(ctx, query...)
	if err != nil {
		return nil, err
	}
	for _, raw := range list {
		var o struct{ Name string }
		if err := json.Unmarshal(raw, &o); err != nil || o.Name == "" {
			return nil, &Error{Kind: Answer, Text: "a zone cannot be read", Cause: err}
		}
		names = append(names, zone.Name(o.Name))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// choose takes the one zone of the name; an answer may hold others, or it twice.
func (x ZoneExport) choose(list []json.RawMessage) (ZoneExport, error) {
	var owners []string
	for _, raw := range list {
		var o struct {
			ID, Name string
			Account  struct{ ID string }
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			return x, &Error{Kind: Answer, Text: "a zone cannot be read", Cause: err}
		}
		if zone.Name(o.Name) != x.Name || o.ID == x.ID && x.ID != "" {
			continue
		}
		x.ID, x.Account, owners = o.ID, o.Account.ID, append(owners, o.Account.ID)
		// Seconds of development mode run; the token's permissions are not the zone's.
		var err error
		if x.Zone, err = Canonical(raw, "development_mode", "permissions"); err != nil {
			return x, err
		}
	}
	switch len(owners) {
	case 0:
		return x, &Error{Kind: NotFound, Text: fmt.Sprintf("the token sees no zone %s", x.Name)}
	case 1:
		return x, ids(x.ID, x.Account)
	}
	return x, &Error{Kind: NotFound, Text: fmt.Sprintf("zone %s is in %d accounts: %s", x.Name, len(owners),
		printable(strings.Join(owners, ", ")))}
}

// records reads both forms of the records, which must agree.
func (s *Session) records(ctx context.Context, x ZoneExport, differed *string) (ZoneExport, error) {
	r := dns.NewRecordService(s.c.opts...)
	list, err := s.pages(ctx, "records of "+x.Name, recordsPerPage,
		library(func(ctx context.Context, opts ...option.RequestOption) (any, error) {
			var p dns.RecordListParams
			p.ZoneID.Value, p.ZoneID.Present = x.ID, true
			return r.List(ctx, p, opts...)
		}))
	if err != nil {
		return x, err
	}
	parsed := make([]zone.Record, len(list))
	for i, raw := range list {
		list[i] = rewrite(raw, nil)
		if parsed[i], err = zone.FromJSON(raw); err != nil {
			return x, &Error{Kind: Answer, Text: err.Error(), Cause: err}
		}
		if r := parsed[i]; r.Unread != "" {
			x.Missing = append(x.Missing, Missing{r.Part(),
				"it cannot be read (" + printable(r.Unread) + "): its bytes are kept in records.json as Cloudflare gave them"})
		}
	}
	x.Records, err = sorted(list, recordKey)
	if err != nil || len(list) == 0 {
		return x, err
	}
	text, err := s.fetch(ctx, library(func(ctx context.Context, opts ...option.RequestOption) (*string, error) {
		var p dns.RecordExportParams
		p.ZoneID.Value, p.ZoneID.Present = x.ID, true
		return r.Export(ctx, p, opts...)
	}))
	if err != nil {
		return x, x.without("bind", err)
	}
	return s.compare(ctx, x, zone.Settle(text), parsed, differed)
}

// compare holds the two forms against each other. A line of the text that cannot be
// read becomes a remark, and a gap.
func (s *Session) compare(ctx context.Context, x ZoneExport, text []byte, records []zone.Record, differed *string) (ZoneExport, error) {
	bind, err := zone.ParseBIND(ctx, bytes.NewReader(text), ".")
	if ctx.Err() != nil {
		return x, ctx.Err()
	}
	var remarks []zone.Record
	if odd := slices.ContainsFunc(records, func(r zone.Record) bool { return r.Unread != "" }); odd || err != nil {
		loads, lines, unread, lerr := zone.Legible(ctx, text)
		if lerr != nil {
			return x, lerr
		}
		if !slices.ContainsFunc(unread, func(r zone.Record) bool { return r.Name == `""` }) { // else it is not a list of records
			text, bind, remarks, err = loads, lines, unread, nil
		}
	}
	if err != nil { // the JSON is the zone; its second form is not to be had
		x.Missing = append(x.Missing, Missing{"bind", "the text that Cloudflare exports cannot be read: " + printable(err.Error())})
		return x, nil
	}
	gaps := x.remarks(remarks)
	if lines := zone.Missing(bind, records, x.Name, gaps...).Lines(); len(lines) > 0 {
		how, all := fmt.Sprintf("list and BIND text differ in %d records: %s", len(lines), printable(lines[0])), strings.Join(lines, "\n")
		if *differed == all {
			x.Missing = append(x.Missing, Missing{"bind", how})
			return x, nil
		}
		*differed = all
		return x, &errMoved{how}
	}
	x.BIND = text
	return x, nil
}

// remarks says of the lines that became remarks where their record is not a gap yet, and
// returns all records that are one.
func (x *ZoneExport) remarks(lines []zone.Record) []string {
	reported := map[string]int{}
	var gaps []string
	for _, m := range x.Missing {
		reported[m.Part]++
		gaps = append(gaps, m.Part)
	}
	for _, r := range lines {
		if reported[r.Part()]--; reported[r.Part()] >= 0 {
			continue
		}
		gaps = append(gaps, r.Part())
		x.Missing = append(x.Missing, Missing{r.Part(), "its line in zone.bind cannot be read (" + printable(r.Unread) +
			"): it is a remark there; records.json has the record"})
	}
	return gaps
}

func recordKey(raw json.RawMessage) (string, error) {
	if v, ok := texts(raw, "type", "name", "content", "id"); ok {
		return strings.Join(v, "\x00"), nil
	}
	var o struct{ Type, Name, Content, ID string }
	if err := json.Unmarshal(raw, &o); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) {
		return "", &Error{Kind: Answer, Text: "a record cannot be read", Cause: err}
	}
	return strings.Join([]string{o.Type, o.Name, o.Content, o.ID}, "\x00"), nil
}
