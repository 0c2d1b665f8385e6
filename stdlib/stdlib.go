// Package stdlib is the library that every runner carries: Starlark modules,
// loaded as @stdlib//name.star. They are pure: what they do to systems they do
// through primitives that the calling policy could call itself.
package stdlib

import "embed"

// Files holds the modules and their tests.
//
//go:embed *.star
var Files embed.FS
