/* One buffer that programs divide: an attach copies it while a program counts.
 * -DPOSTED: the copy takes the buffer's place; else each program has memory of its own.
 */
byte count[2];
byte current = 0;
byte counted = 0;

proctype program()
{
	byte buffer, value;

	buffer = current;
	value = count[buffer];
	atomic { count[buffer] = value + 1; counted++ }
}

proctype attach()
{
#ifdef POSTED
	byte value;

	value = count[0];
	count[1] = value;
	current = 1
#else
	skip
#endif
}

proctype teller()
{
	byte buffer, expected, value;

	atomic { buffer = current; expected = counted };
	value = count[buffer];
	assert(value >= expected)
}

init {
	atomic { run program(); run attach(); run teller() }
}
