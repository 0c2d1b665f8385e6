package builtins

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/custody"
	"github.com/neosofia/runner/builtins/internal/format/bundle"
	"github.com/neosofia/runner/builtins/internal/site"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/world"
	"github.com/neosofia/runner/runtime"
)

// fingerprint names a recipient as copies and manifests do.
func fingerprint(recipient string) string { return target.Fingerprint(recipient) }

// opening is who can open the secrets.
type opening struct {
	recipients []string // sorted, each once
	threshold  int
	custodians []site.Custodian // by name
}

// sealClass are the recipients of one file.
type sealClass struct {
	name, short string
	recipients  []age.Recipient
	prints      []string
}

// openers reads from arguments and site who is to open the secrets.
func openers(s *site.Site, a *sealSecretsArgs) (*opening, error) {
	o := &opening{recipients: slices.Clone(a.Recipients), threshold: a.Threshold}
	if len(o.recipients) == 0 && a.Threshold == 0 {
		for _, t := range s.Targets {
			o.recipients = append(o.recipients, t.SealedTo...)
		}
	}
	for i, r := range o.recipients {
		o.recipients[i] = strings.TrimSpace(r)
		if _, _, err := bundle.ParseRecipient(r); err != nil {
			return nil, &runtime.Error{Code: "E_NO_RECIPIENT", Doing: "seal the secrets", Said: fmt.Sprintf("recipient %d is no age recipient (age1… or age1pq1…)", i+1),
				Hint: "runner recovery-key new, on another machine, prints the line for site.star"}
		}
	}
	slices.Sort(o.recipients)
	o.recipients = slices.Compact(o.recipients)
	if err := o.readCustodians(s, a); err != nil {
		return nil, err
	}
	if len(o.recipients) == 0 && o.threshold == 0 {
		return nil, &runtime.Error{Code: "E_NO_RECIPIENT", Doing: "seal the secrets", Said: "nobody could open them: neither recipients, nor custodians, nor a target with sealed_to",
			Hint: "runner recovery-key new, on another machine, prints the line for site.star"}
	}
	return o, nil
}

func (o *opening) readCustodians(s *site.Site, a *sealSecretsArgs) error {
	fail := func(said, hint string) error {
		return &runtime.Error{Code: "E_CUSTODIANS", Doing: "seal the secrets", Said: said, Hint: hint}
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
			return fail("the recipient of "+c.Name+" is no age recipient (age1… or age1pq1…)", "age-keygen -y KEYFILE prints it")
		}
	}
	switch n := len(o.custodians); {
	case a.Threshold < 2:
		return fail(fmt.Sprintf("threshold %d: each custodian alone could open the secrets", a.Threshold), "want at least 2; for one key, name it in recipients")
	case n < a.Threshold:
		return fail(fmt.Sprintf("threshold %d, and there are %d custodians: nobody could ever open the secrets", a.Threshold, n), "declare more with custodian(name = …, recipient = …) in site.star")
	case n > 255:
		return fail(fmt.Sprintf("%d custodians, and 255 are the most", n), "")
	}
	return nil
}

func (o *opening) prints() []string {
	out := []string{}
	for _, r := range o.recipients {
		out = append(out, fingerprint(r))
	}
	return out
}

// classes are the recipients by file: the hybrid ones, then the classic ones.
func (o *opening) classes(set *sealSet) []sealClass {
	all := slices.Clone(o.recipients)
	if set.identity != "" {
		all = append(all, set.identity)
	}
	byName := map[string]*sealClass{bundle.Hybrid: {name: bundle.Hybrid, short: "pq"}, bundle.Classic: {name: bundle.Classic, short: "x25519"}}
	for _, text := range all {
		r, class, err := bundle.ParseRecipient(text)
		if err != nil {
			continue // openers has parsed all of them
		}
		c := byName[class]
		c.recipients, c.prints = append(c.recipients, r), append(c.prints, fingerprint(text))
	}
	var out []sealClass
	for _, name := range []string{bundle.Hybrid, bundle.Classic} {
		if c := byName[name]; len(c.recipients) > 0 {
			out = append(out, *c)
		}
	}
	return out
}

// offHost refuses secrets that only this host could open: they are for the day on
// which it is gone. An identity that the site declares with on_host = True is meant.
func (o *opening) offHost(ctx context.Context, w *world.World, resident map[string]bool) error {
	ids, err := w.Identities(ctx)
	if err != nil {
		return err
	}
	declared := map[string]bool{}
	for _, id := range ids {
		declared[custody.Recipient(id)] = true
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
	return &runtime.Error{Code: "E_RECIPIENT_ON_HOST", Doing: "seal the secrets", Said: "the identities of all their recipients lie in this host's keyring: with the host, the secrets and what opens them would be lost",
		Hint: "runner recovery-key new on another machine, and its line into site.star; where this is meant: identity(secret = secret(…), on_host = True)"}
}

// residents finds age identities in a secret, wherever in it they stand.
func residents(value []byte, found map[string]bool) {
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
				found[custody.Recipient(id)] = true
			}
		}
		rest = rest[end:]
	}
}
