// Package tests holds what crosses packages: the layers of the tree, stories of
// use on the real binary (script/*.txtar), and runs that are killed (crash/).
//
// Its rule: nothing here reaches into a package. The binary is built once, as it
// ships, and is looked at from outside: what it prints, how it exits, what it
// left on disk. The lab stands for the systems (package lab says what it plays).
package tests
