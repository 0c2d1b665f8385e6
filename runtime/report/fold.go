package report

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// folded is a finding that stands for others which differ in the item only.
type folded struct {
	ledger.Finding
	also []string
}

// fold joins findings that fail alike. They stay apart in the record.
func fold(found []ledger.Finding) []*folded {
	at := map[string]*folded{}
	var out []*folded
	for _, f := range found {
		key := strings.Join([]string{f.Severity, f.Target, without(f.Text, f.Item), without(f.Type, f.Item)}, "\x00")
		if same := at[key]; same != nil && f.Item != "" {
			same.also = append(same.also, f.Item)
			continue
		}
		at[key] = &folded{Finding: f}
		out = append(out, at[key])
	}
	return out
}

// subject is what a finding is about, and what it says of it: "mail", or "4 items".
func (f *folded) subject() (who, text string) {
	text, found := strings.CutPrefix(f.Text, f.Item+" ")
	switch {
	case f.Item == "" || !found && len(f.also) == 0:
		return "", f.Text
	case len(f.also) == 0:
		return f.Item, text
	case !found:
		return fmt.Sprintf("%d items", 1+len(f.also)), f.Text
	}
	return fmt.Sprintf("%d items", 1+len(f.also)), strings.TrimPrefix(strings.TrimPrefix(text, "has "), "is ")
}

// all names the items that a finding is of.
func (f *folded) all() []string {
	if f.Item == "" {
		return nil
	}
	return append([]string{f.Item}, f.also...)
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
