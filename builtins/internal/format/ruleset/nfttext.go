package ruleset

import (
	"regexp"
	"slices"
	"strings"
)

var tableHead = regexp.MustCompile(`^table (\S+) (.+) \{(?: # .*)?$`)

// Blocks takes nft's text apart by table, without remarks that are not of the rules.
func Blocks(text string) map[Table]string {
	out := map[Table]string{}
	var t Table
	var open []string
	for _, line := range strings.Split(text, "\n") {
		m := tableHead.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			t, open = Table{m[1], m[2]}, []string{"table " + m[1] + " " + m[2] + " {"}
		case open != nil:
			open = append(open, line)
			if line == "}" {
				out[t], open = strings.Join(open, "\n")+"\n", nil
			}
		}
	}
	return out
}

const flagsLine = "\tflags "

// TableFlags are a table's flags, from its block.
func TableFlags(block string) []string {
	lines := strings.SplitN(block, "\n", 3)
	if len(lines) < 3 || !strings.HasPrefix(lines[1], flagsLine) {
		return nil
	}
	return words(lines[1][len(flagsLine):])
}

// Unowned is a table's block without the flags of ownership: a table with them ends
// with the program that loads it.
func Unowned(block string) string { return withoutFlags(block, ownership) }

// Unflagged is a table's block without any flag.
func Unflagged(block string) string { return withoutFlags(block, func(string) bool { return true }) }

func withoutFlags(block string, which func(string) bool) string {
	flags := TableFlags(block)
	kept := slices.DeleteFunc(slices.Clone(flags), which)
	if len(kept) == len(flags) {
		return block
	}
	lines := strings.SplitN(block, "\n", 3)
	if len(kept) == 0 {
		return lines[0] + "\n" + lines[2]
	}
	return lines[0] + "\n" + flagsLine + strings.Join(kept, ",") + "\n" + lines[2]
}

func ownership(flag string) bool { return flag == "owner" || flag == "persist" }

// setFlags are the flags of a set, from the block of its table.
func setFlags(block, head string) []string {
	_, body, found := strings.Cut(block, "\n\t"+head+" {\n")
	if !found {
		return nil
	}
	body, _, _ = strings.Cut(body, "\n\t}")
	for _, line := range strings.Split(body, "\n") {
		if flags, ok := strings.CutPrefix(line, "\t"+flagsLine); ok {
			return words(flags)
		}
	}
	return nil
}

func words(flags string) []string {
	return strings.FieldsFunc(flags, func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
}
