// Package sheet is about the forms in which people have the keys that open sealed
// copies: the sheet of paper that runner prints (this file), and everything that
// stands for it on the worst day, as a file or as somebody types it (read.go):
// the sheet itself, its lines, the bare key, a file of age, shares of custodians.
//
// A sheet carries the identity three times: in lines of five groups of four
// characters, each line with its number and a checksum; as a QR code of the same
// text; and its public half, for site.star. The QR code comes from rsc.io/qr: small,
// without dependencies, and finished.
package sheet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"rsc.io/qr"
)

const (
	groupSize  = 4
	lineGroups = 5
	quietZone  = 4 // modules around a QR code
)

// Sheet is the text to be printed. The recipient is the public half of the identity,
// fingerprint its short name.
func Sheet(identity, recipient, fingerprint string, now time.Time) (string, error) {
	code, err := qr.Encode(identity, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw the key: %w", err)
	}
	kind := "hybrid, X25519 with ML-KEM-768"
	if !strings.HasPrefix(recipient, "age1pq1") {
		kind = "classic, X25519"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "RECOVERY KEY of runner (%s), made on %s\n", kind, now.UTC().Format("2006-01-02 15:04 UTC"))
	b.WriteString("Whoever reads this sheet can open every copy that is sealed to it. Keep it in a safe, and a second one elsewhere.\n\n")
	for i, line := range sheetLines(identity) {
		fmt.Fprintf(&b, "  %d  %s  / %s\n", i+1, strings.Join(groups(line), " "), lineSum(i+1, line))
	}
	b.WriteString("\nBehind the stroke: a checksum of the line. runner takes these lines as they stand, typed or as a file: --identity. In " +
		"full:\n\n  " + identity + "\n\n")
	b.WriteString(drawn(code))
	fmt.Fprintf(&b, "\nkey %s. Its public half, for site.star (this is not a secret):\n\nsealed_to = [%q]\n", fingerprint, recipient)
	return b.String(), nil
}

func sheetLines(identity string) (out []string) {
	for n := groupSize * lineGroups; len(identity) > n; identity = identity[n:] {
		out = append(out, identity[:n])
	}
	return append(out, identity)
}

func groups(line string) (out []string) {
	for ; len(line) > groupSize; line = line[groupSize:] {
		out = append(out, line[:groupSize])
	}
	return append(out, line)
}

// lineSum is the checksum of a line: four hex digits, over its number, too, so that
// lines that change places are found.
func lineSum(n int, line string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", n, line))
	return hex.EncodeToString(sum[:2])
}

// drawn is a QR code in half blocks, dark on light as on paper.
func drawn(code *qr.Code) string {
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch up, down := code.Black(x, y), code.Black(x, y+1); {
			case up && down:
				b.WriteRune('█')
			case up:
				b.WriteRune('▀')
			case down:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
