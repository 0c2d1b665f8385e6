package sealsecrets

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
)

// Item is what the artifacts of the keyring are filed under.
const Item = "keyring"

// Ask is who a policy wants to open the secrets; what it leaves out the site says.
type Ask struct {
	Recipients []string
	Threshold  int
	Custodians map[string]string // name -> recipient
}

// Opening is who can open the secrets.
type Opening struct {
	recipients []string // sorted, each once
	threshold  int
	custodians []site.Custodian // by name
}

// Class are the recipients of one file.
type Class struct {
	Name, Short string // of its files where there are two
	Recipients  []age.Recipient
	Prints      []string // their fingerprints
}

// Openers reads from arguments and site who is to open the secrets.
func Openers(s *site.Site, a Ask) (*Opening, error) {
	o := &Opening{recipients: slices.Clone(a.Recipients), threshold: a.Threshold}
	if len(o.recipients) == 0 && a.Threshold == 0 {
		for _, t := range s.Targets {
			o.recipients = append(o.recipients, t.SealedTo...)
		}
	}
	for i, r := range o.recipients {
		o.recipients[i] = strings.TrimSpace(r)
		if _, _, err := bundle.ParseRecipient(r); err != nil {
			return nil, &failure.Error{Code: CodeNoRecipient, Doing: "seal the secrets",
				Said: fmt.Sprintf("recipient %d is not an age recipient (age1… or age1pq1…)", i+1),
				Hint: "runner recovery-key new, on another machine, prints the line for site.star"}
		}
	}
	slices.Sort(o.recipients)
	o.recipients = slices.Compact(o.recipients)
	if err := o.readCustodians(s, a); err != nil {
		return nil, err
	}
	if len(o.recipients) == 0 && o.threshold == 0 {
		return nil, &failure.Error{Code: CodeNoRecipient, Doing: "seal the secrets",
			Said: "nobody could open them: neither recipients, nor custodians, nor a target with sealed_to",
			Hint: "runner recovery-key new, on another machine, prints the line for site.star"}
	}
	return o, nil
}

// Foresee says why the keyring could not be sealed as the site alone would have it.
func Foresee(s *site.Site) error {
	_, err := Openers(s, Ask{})
	return err
}

func (o *Opening) readCustodians(s *site.Site, a Ask) error {
	fail := func(said, hint string) error {
		return &failure.Error{Code: CodeCustodians, Doing: "seal the secrets", Said: said, Hint: hint}
	}
	if a.Threshold == 0 {
		if len(a.Custodians) > 0 {
			return fail("custodians are named, and no threshold", "threshold = 2 lets any two of them open the secrets")
		}
		return nil
	}
	o.custodians = slices.Clone(s.Custodians)
	if len(a.Custodians) > 0 {
		o.custodians = nil
		for _, name := range slices.Sorted(maps.Keys(a.Custodians)) {
			o.custodians = append(o.custodians, site.Custodian{Name: name, Recipient: strings.TrimSpace(a.Custodians[name])})
		}
	}
	slices.SortFunc(o.custodians, func(a, b site.Custodian) int { return strings.Compare(a.Name, b.Name) })
	if err := site.CheckCustodians(o.custodians); err != nil {
		return fail(err.Error(), "")
	}
	for _, c := range o.custodians {
		if _, _, err := bundle.ParseRecipient(c.Recipient); err != nil {
			return fail("the recipient of "+c.Name+" is not an age recipient (age1… or age1pq1…)", "age-keygen -y KEYFILE prints it")
		}
	}
	switch n := len(o.custodians); {
	case a.Threshold < 2:
		return fail(fmt.Sprintf("threshold %d: each custodian alone could open the secrets", a.Threshold),
			"want at least 2; for one key, name it in recipients")
	case n < a.Threshold:
		return fail(fmt.Sprintf("threshold %d, and there are %d custodians: nobody could ever open the secrets", a.Threshold, n),
			"declare more with custodian(name = …, recipient = …) in site.star")
	case n > 255:
		return fail(fmt.Sprintf("%d custodians, and 255 are the most", n), "")
	}
	return nil
}

func (o *Opening) prints() []string {
	out := []string{}
	for _, r := range o.recipients {
		out = append(out, target.Fingerprint(r))
	}
	return out
}

// Classes are the recipients by file: the hybrid ones, then the classic ones.
func (o *Opening) Classes(set *Set) []Class {
	all := slices.Clone(o.recipients)
	if set.identity != "" {
		all = append(all, set.identity)
	}
	byName := map[string]*Class{bundle.Hybrid: {Name: bundle.Hybrid, Short: "pq"}, bundle.Classic: {Name: bundle.Classic, Short: "x25519"}}
	for _, text := range all {
		r, class, err := bundle.ParseRecipient(text)
		if err != nil {
			continue // Openers has parsed all of them
		}
		c := byName[class]
		c.Recipients, c.Prints = append(c.Recipients, r), append(c.Prints, target.Fingerprint(text))
	}
	var out []Class
	for _, name := range []string{bundle.Hybrid, bundle.Classic} {
		if c := byName[name]; len(c.Recipients) > 0 {
			out = append(out, *c)
		}
	}
	return out
}

// OffHost refuses secrets that only this host could open: they are for the day on
// which it is gone. An identity that the site declares with on_host = True is meant.
func (o *Opening) OffHost(ctx context.Context, w *systems.Systems, resident map[string]bool) error {
	ids, err := w.Identities(ctx)
	if err != nil {
		return err
	}
	declared := map[string]bool{}
	for _, id := range ids {
		declared[bundle.RecipientOf(id)] = true
	}
	undeclared := false
	for _, r := range o.recipients {
		if !declared[r] && !resident[r] {
			return nil
		}
		undeclared = undeclared || !declared[r]
	}
	if o.threshold > 0 {
		here := 0
		for _, c := range o.custodians {
			if declared[c.Recipient] || resident[c.Recipient] {
				here++
				undeclared = undeclared || !declared[c.Recipient]
			}
		}
		if here < o.threshold {
			return nil
		}
	}
	if !undeclared {
		return nil
	}
	return &failure.Error{Code: CodeOnHost, Doing: "seal the secrets", Said: "the identities of all their recipients lie in this host's " +
		"keyring: with the host, the secrets and what opens them would be lost",
		Hint: "runner recovery-key new on another machine, and its line into site.star; where this is meant: identity(secret = secret(…), " +
			"on_host = True)"}
}

// Residents finds age identities in a secret, wherever in it they stand.
func Residents(value []byte, found map[string]bool) {
	const begin = "AGE-SECRET-KEY-"
	for rest := string(value); ; {
		at := strings.Index(rest, begin)
		if at < 0 {
			return
		}
		rest = rest[at:]
		end := strings.IndexFunc(rest, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-') })
		if end < 0 {
			end = len(rest)
		}
		if ids, err := age.ParseIdentities(strings.NewReader(rest[:end])); err == nil {
			for _, id := range ids {
				found[bundle.RecipientOf(id)] = true
			}
		}
		rest = rest[end:]
	}
}

// Declared is what the ledger and manifests say of the secrets: who can open them.
func (o *Opening) Declared(set *Set, items int) map[string]string {
	d := map[string]string{"set": set.ID, "items": strconv.Itoa(items), "recipients": strings.Join(o.prints(), ",")}
	if o.threshold > 0 {
		d["threshold"] = strconv.Itoa(o.threshold)
		d["custodians"] = custodianPrints(o.custodians)
		for _, c := range set.custodians {
			d["share "+c.Name] = c.Commitment
		}
	}
	return d
}

func custodianPrints(list []site.Custodian) string {
	var out []string
	for _, c := range list {
		out = append(out, c.Name+"="+target.Fingerprint(c.Recipient))
	}
	return strings.Join(out, ",")
}

func newSetID() string {
	id := make([]byte, 8)
	rand.Read(id) // never fails
	return hex.EncodeToString(id)
}
