package rearhost

import (
	"fmt"
	"strings"
	"testing"
)

func TestTheKernelsOwnAddressesAreRead(t *testing.T) {
	const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.10
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
`
	const six = "00000000000000000000000000000001 01 80 10 80       lo\n20010db8000000000000000000000010 02 40 00 80     eth0\nzz 1\n"
	if got, want := fmt.Sprint(localAddresses(trie, six)), "[192.0.2.10 2001:db8::10]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := localAddresses(strings.Repeat("|-- x\n/32 host LOCAL\n", 2), strings.Repeat("z", 32)); len(got) != 0 {
		t.Errorf("got %v of what is none", got)
	}
}
