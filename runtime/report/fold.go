package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// folded is a finding that stands for others which differ in what they are about only.
type folded struct {
	ledger.Finding
	also []ledger.Finding
}

// about is the item that a finding is of, the asset where it is of the whole of it, else
// the target.
func about(f ledger.Finding) string { return cmp.Or(f.Item, f.Asset, f.Target) }

// kindOf says what findings are about: "items", "assets" or "targets".
func kindOf(f ledger.Finding) string {
	switch {
	case f.Item != "":
		return "items"
	case f.Asset != "":
		return "assets"
	}
	return "targets"
}

// coded is the code that a message ends with; behind it may stand what to do.
var coded = regexp.MustCompile(`\((E_[A-Z0-9_]+)\)`)

const notCopied = "\x01 was not copied to "

// cause is what a finding says without what it is about. Of a target that could not be
// written the code tells one reason from another: its words differ from try to try.
func cause(f ledger.Finding) string {
	text := without(f.Text, about(f))
	if code := coded.FindString(text); code != "" && strings.HasPrefix(text, notCopied) {
		return notCopied + code
	}
	return text
}

// fold joins findings that fail alike. They stay apart in the record.
func fold(found []ledger.Finding) []*folded {
	at := map[string]*folded{}
	var out []*folded
	for _, f := range reported(found) {
		kind, target := kindOf(f), f.Target
		if kind == "targets" {
			target = ""
		}
		key := strings.Join([]string{f.Severity, kind, target, cause(f), without(f.Type, about(f))}, "\x00")
		if same := at[key]; same != nil && about(f) != "" {
			same.also = append(same.also, f)
			continue
		}
		at[key] = &folded{Finding: f}
		out = append(out, at[key])
	}
	return out
}

// told leaves out that there is no copy on a target where another finding says why.
func reported(found []ledger.Finding) []ledger.Finding {
	why := map[[3]string]bool{}
	key := func(f ledger.Finding) [3]string { return [3]string{f.Asset, f.Item, f.Target} }
	for _, f := range found {
		if strings.HasPrefix(without(f.Text, f.Item), notCopied) {
			why[key(f)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(f ledger.Finding) bool {
		return f.Item != "" && why[key(f)] && strings.HasPrefix(f.Text, f.Item+" has no copy on ")
	})
}

// subject is what a finding is about, and what it says of it: "mail", or "4 items".
func (f *folded) subject() (who, text string) {
	text, found := strings.CutPrefix(f.Text, f.Item+" ")
	n := 1 + len(f.also)
	switch {
	case f.Item == "" && n > 1:
		return fmt.Sprintf("%d %s", n, kindOf(f.Finding)), strings.ReplaceAll(without(f.Text, about(f.Finding)), "\x01", "them")
	case f.Item == "" || !found && n == 1:
		return "", f.Text
	case n == 1:
		return f.Item, text
	case !found:
		return fmt.Sprintf("%d items", n), f.Text
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "has "), "is ")
	if rest, ok := strings.CutPrefix(text, "was "); ok {
		text = "were " + rest
	}
	return fmt.Sprintf("%d items", n), text
}

// command is what to type, for all that the finding stands for.
func (f *folded) command() string {
	if len(f.also) == 0 || f.Item != "" {
		return f.Type
	}
	return strings.ReplaceAll(without(f.Type, about(f.Finding)), "\x01", "them")
}

// all names what a finding stands for.
func (f *folded) all() []string {
	if about(f.Finding) == "" {
		return nil
	}
	var names [][2]string
	for _, one := range append([]ledger.Finding{f.Finding}, f.also...) {
		names = append(names, [2]string{one.Asset, about(one)})
	}
	return distinct(names)
}

// distinct names items of assets: one that two assets have gets its asset beside it.
func distinct(items [][2]string) []string {
	count := map[string]int{}
	for _, it := range items {
		count[it[1]]++
	}
	var out []string
	for _, it := range items {
		name := it[1]
		if count[name] > 1 && it[0] != "" && it[0] != name {
			name += " (" + it[0] + ")"
		}
		out = append(out, name)
	}
	return out
}

// without leaves a place where the item stood as a word of its own.
func without(text, item string) string {
	if item == "" {
		return text
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
	for i, w := range words {
		if strings.Trim(w, `:;,."`) == item || w == `"`+item+`",` {
			words[i] = strings.Replace(w, item, "\x01", 1)
		}
	}
	return strings.Join(words, " ")
}
