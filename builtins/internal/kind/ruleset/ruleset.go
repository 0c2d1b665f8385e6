// Package ruleset is the kind of what filters and routes packets.
package ruleset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

const maxRuleset = 256 << 20 // bytes

// Kind is a ruleset.
func Kind() kind.Kind {
	return kind.Kind{Name: "ruleset", Title: "firewall, routing and network settings", Keep: true,
		Open: func() target.Checker { return &rulesetChecker{sums: map[string]string{}} }, Recover: recoverRuleset, Commands: rulesetAlone}
}

// rulesetChecker parses the document, follows its references, and holds the native
// files against what the system's own tool took.
type rulesetChecker struct {
	doc    *ruleset.Document
	sums   map[string]string
	opaque []string
}

func (c *rulesetChecker) File(ctx context.Context, name string, r io.Reader) error {
	if name != ruleset.File {
		return c.native(name, r)
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxRuleset+1))
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.doc, err = ruleset.Parse(raw); err != nil {
		return err
	}
	if lost := c.doc.Unresolved(); len(lost) > 0 {
		return fmt.Errorf("%d references lead nowhere: %s", len(lost), strings.Join(lost[:min(3, len(lost))], "; "))
	}
	return nil
}

func (c *rulesetChecker) native(name string, r io.Reader) error {
	h := sha256.New()
	head := make([]byte, 512)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return err
	}
	h.Write(head[:n])
	rest, err := io.Copy(h, r)
	if err != nil {
		return err
	}
	c.sums[name] = hex.EncodeToString(h.Sum(nil))
	if strings.HasSuffix(name, ruleset.UniFiBackup) {
		c.opaque = append(c.opaque, name)
		switch size := int64(n) + rest; {
		case size == 0 || size%16 != 0:
			return fmt.Errorf("%s has %d bytes: a backup of a UniFi console is a whole number of 16-byte blocks", name, size)
		case bytes.HasPrefix(bytes.TrimSpace(head[:n]), []byte("<")), bytes.HasPrefix(bytes.TrimSpace(head[:n]), []byte("{")):
			return fmt.Errorf("%s is a page or an error message, not a backup", name)
		}
	}
	return nil
}

func (c *rulesetChecker) End() error {
	if c.doc == nil {
		return fmt.Errorf("%s is missing", ruleset.File)
	}
	taken := map[string]bool{}
	for _, a := range c.doc.Checked {
		sum, there := c.sums[a.File]
		if !there || sum != a.SHA256 {
			return fmt.Errorf("%s is not the text that was checked (%s)", a.File, a.By)
		}
		taken[a.File] = true
	}
	for name := range c.sums {
		if name != kind.ChangesFile && !taken[name] {
			return fmt.Errorf("%s was checked by nothing", name)
		}
	}
	lost, err := c.doc.Unplaced()
	if err == nil && len(lost) > 0 {
		err = errors.New(strings.Join(lost, "; "))
	}
	return err
}

// Note says what opening could not show: files that nobody can look into, and tables
// that were loaded nowhere when they were exported. What was loaded and listed again
// equal is bound to these very bytes by their digest.
func (c *rulesetChecker) Note() string {
	var notes []string
	if len(c.opaque) > 0 {
		notes = append(notes, strings.Join(c.opaque, ", ")+": vendor format, not parsed")
	}
	if c.doc != nil && c.doc.Vendor == "linux" {
		for _, a := range c.doc.Checked {
			switch {
			case a.Equal && len(a.Tables) > 0:
				notes = append(notes, fmt.Sprintf("%s: %d tables came back equal from these bytes when they were exported", a.File, len(a.Tables)))
			case loads(a.File) && !a.Equal:
				notes = append(notes, a.File+": parsed, not loaded and compared")
			}
		}
		for _, m := range c.doc.Missing {
			if strings.HasPrefix(m.Part, "table ") {
				notes = append(notes, m.Part+" does not come back")
			}
		}
	}
	return strings.Join(notes, "; ")
}

// recoverRuleset writes the files, loads nftables into a network namespace when it
// is asked to, and says what to type on the system itself.
func recoverRuleset(ctx context.Context, j *kind.Job) error {
	var doc *ruleset.Document
	for _, f := range j.Artifact.Files {
		path, err := j.Write(ctx, f.Name)
		if err != nil {
			return err
		}
		if f.Name != ruleset.File {
			continue
		}
		raw, err := kind.ReadSmall(path, maxRuleset)
		if err != nil {
			return err
		}
		if doc, err = ruleset.Parse(raw); err != nil {
			return err
		}
	}
	if doc == nil {
		return fmt.Errorf("%s is missing", ruleset.File)
	}
	for _, m := range doc.Missing {
		j.Skipped = append(j.Skipped, "not in this copy: "+m.Part+" ("+m.Why+")")
	}
	if doc.Vendor == "linux" {
		if err := writeBootFiles(j, doc); err != nil {
			return err
		}
	}
	if j.Options.Netns != "" {
		if err := loadInNamespace(ctx, j, doc); err != nil {
			return err
		}
	}
	switch doc.Vendor {
	case "proxmox":
		lines, err := proxmoxCalls(doc)
		if err != nil {
			return err
		}
		return j.WriteScript("restore-calls.sh", lines)
	case "cloudflare":
		return cloudflareCalls(j, doc)
	}
	j.Say = append(j.Say, rulesetCommands(j.Artifact, kind.Quote(j.Into))...)
	return nil
}

// rulesetAlone are the commands for who has the files only: where a system has no
// tool that takes its rules back, they are typed from the document.
func rulesetAlone(a ledger.Artifact, dir string) []string {
	out := rulesetCommands(a, dir)
	if len(out) == 0 {
		out = []string{"# " + dir + "/" + ruleset.File + " holds every rule as the system's interface named it; runner recover --to makes the " +
			"calls out of it"}
	}
	return out
}

// unproven holds tables of a Linux host for reading.
const unproven = "unproven.txt"

// loaders are the files that a Linux host's tools load, in the order in which that is
// done: sets first, for rules name them; then nft's, which may replace all that there is.
var loaders = []struct {
	file, check, load string
	stdin             bool // the tool reads nothing else
}{
	{"ipset.rules", "", "ipset restore -exist", true},
	{"ruleset.nft", "nft -c -f", "nft -f", false},
	{"ruleset.nft.json", "nft -c -j -f", "nft -j -f", false},
	{"iptables.rules", "iptables-restore --test", "iptables-restore", false},
	{"ip6tables.rules", "ip6tables-restore --test", "ip6tables-restore", false},
	{"ebtables.rules", "", "ebtables-restore", true},
	{"arptables.rules", "", "arptables-restore", true},
	{"iptables-legacy.rules", "iptables-legacy-restore --test", "iptables-legacy-restore", false},
	{"ip6tables-legacy.rules", "ip6tables-legacy-restore --test", "ip6tables-legacy-restore", false},
	{"ebtables-legacy.rules", "", "ebtables-legacy-restore", true},
	{"arptables-legacy.rules", "", "arptables-legacy-restore", true},
}

func loads(file string) bool {
	for _, l := range loaders {
		if l.file == file {
			return true
		}
	}
	return false
}

func rulesetCommands(a ledger.Artifact, dir string) (out []string) {
	have := map[string]bool{}
	for _, f := range a.Files {
		have[f.Name] = true
	}
	for _, l := range loaders {
		if !have[l.file] {
			continue
		}
		path := dir + "/" + l.file
		if l.check != "" {
			out = append(out, l.check+" "+path)
		}
		load := l.load + " " + path
		if l.stdin {
			load = l.load + " < " + path
		}
		if l.file == "ipset.rules" { // it filters nothing by itself
			out = append(out, load)
			continue
		}
		out = append(out, "# have a way in that is not the network (console), then: "+load)
	}
	if have[unproven] {
		out = append(out, "# "+dir+"/"+unproven+" holds tables that no file brings back as they were: read it, and make them by hand")
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if strings.HasSuffix(name, ruleset.UniFiBackup) {
			out = append(out, "# "+dir+"/"+kind.Quote(name)+": in the console, Settings > System > Backups > Restore; it takes backups of its "+
				"own version and of older ones")
		}
	}
	return out
}
