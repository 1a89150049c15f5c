/* Process 1 of a pod's sandbox: holds the namespaces, reaps what is left to it, ends on SIGTERM. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal)
{
	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

int main(void)
{
	struct sigaction reaping = { .sa_handler = reap, .sa_flags = SA_NOCLDSTOP | SA_RESTART };
	struct sigaction ending = { .sa_handler = end };

	if (sigaction(SIGCHLD, &reaping, NULL) || sigaction(SIGTERM, &ending, NULL) || sigaction(SIGINT, &ending, NULL))
		return 1;
	for (;;)
		pause();
}
